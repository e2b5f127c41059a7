// What gophercloud, the client of Metal3's operator and of Terraform, asks of a conductor-stub, unmodified.
//
// usage: main URL BMC_URL ISO
//
// There is a Redfish emulator with one machine at BMC_URL. Ends with 0 and a line `all done`.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/openstack/baremetal/v1/allocations"
	"github.com/gophercloud/gophercloud/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/openstack/baremetal/v1/ports"
	"github.com/gophercloud/gophercloud/pagination"
)

func try(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func check(what string, holds bool) {
	if !holds {
		fmt.Fprintf(os.Stderr, "%s is not so\n", what)
		os.Exit(1)
	}
}

// Asks for a verb and waits until the node is in that state.
func provision(client *gophercloud.ServiceClient, opts nodes.ProvisionStateOpts, state nodes.ProvisionState) *nodes.Node {
	try(string(opts.Target), nodes.ChangeProvisionState(client, "gopher", opts).ExtractErr())
	for attempt := 0; attempt < 600; attempt++ {
		node, err := nodes.Get(client, "gopher").Extract()
		try("node", err)
		if node.ProvisionState == string(state) && node.Reservation == "" {
			return node
		}
		check(string(opts.Target)+": "+node.LastError, node.LastError == "")
		time.Sleep(50 * time.Millisecond)
	}
	check(string(opts.Target), false)
	return nil
}

func main() {
	client, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: os.Args[1] + "/v1"})
	try("client", err)
	client.Microversion = "1.89"

	var names []string
	try("drivers", drivers.ListDrivers(client, drivers.ListDriversOpts{}).EachPage(func(page pagination.Page) (bool, error) {
		list, err := drivers.ExtractDrivers(page)
		for _, driver := range list {
			names = append(names, driver.Name)
		}
		return true, err
	}))
	check(fmt.Sprint("drivers ", names), len(names) > 0)
	_, err = drivers.GetDriverDetails(client, "redfish").Extract()
	try("driver", err)

	node, err := nodes.Create(client, nodes.CreateOpts{
		Name: "gopher", Driver: "redfish", DeployInterface: "ramdisk", BootInterface: "redfish-virtual-media",
		InspectInterface: "redfish", ResourceClass: "gold",
		DriverInfo: map[string]interface{}{"redfish_address": os.Args[2]},
	}).Extract()
	try("create", err)
	enabled := true
	port, err := ports.Create(client, ports.CreateOpts{NodeUUID: node.UUID, Address: "52:54:00:aa:bb:01", PXEEnabled: &enabled}).Extract()
	try("port", err)

	provision(client, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	verdict, err := nodes.Validate(client, "gopher").Extract()
	try("validate", err)
	check("power is valid", verdict.Power.Result && verdict.Management.Result)
	node = provision(client, nodes.ProvisionStateOpts{Target: nodes.TargetInspect}, nodes.Manageable)
	check("memory", node.Properties["memory_mb"].(float64) == 1024)

	try("boot device", nodes.SetBootDevice(client, "gopher", nodes.BootDeviceOpts{BootDevice: "pxe", Persistent: true}).ExtractErr())
	device, err := nodes.GetBootDevice(client, "gopher").Extract()
	try("boot device", err)
	check("pxe", device.BootDevice == "pxe" && device.Persistent)
	supported, err := nodes.GetSupportedBootDevices(client, "gopher").Extract()
	try("boot devices", err)
	check("boot devices", len(supported) > 0)
	try("power", nodes.ChangePowerState(client, "gopher", nodes.PowerStateOpts{Target: nodes.PowerOn}).ExtractErr())
	for node.PowerState != string(nodes.PowerOn) || node.Reservation != "" {
		time.Sleep(50 * time.Millisecond)
		node, err = nodes.Get(client, "gopher").Extract()
		try("node", err)
	}

	provision(client, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	allocation, err := allocations.Create(client, allocations.CreateOpts{Name: "mine", ResourceClass: "gold"}).Extract()
	try("allocation", err)
	allocation, err = allocations.Get(client, allocation.UUID).Extract()
	try("allocation", err)
	check("allocated", allocation.NodeUUID == node.UUID)
	_, err = nodes.Update(client, "gopher", nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info", Value: map[string]interface{}{"boot_iso": os.Args[3]}},
	}).Extract()
	try("instance", err)
	provision(client, nodes.ProvisionStateOpts{Target: nodes.TargetActive}, nodes.Active)

	found := 0
	try("nodes", nodes.ListDetail(client, nodes.ListOpts{ProvisionState: nodes.Active}).EachPage(func(page pagination.Page) (bool, error) {
		list, err := nodes.ExtractNodes(page)
		for _, one := range list {
			check(one.Name, one.DriverInfo["redfish_address"] == os.Args[2])
			found++
		}
		return true, err
	}))
	check(fmt.Sprint(found, " active"), found == 1)

	provision(client, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}, nodes.Available)
	_, err = ports.Update(client, port.UUID, ports.UpdateOpts{
		ports.UpdateOperation{Op: ports.ReplaceOp, Path: "/pxe_enabled", Value: "false"},
	}).Extract()
	try("port", err)
	try("port", ports.Delete(client, port.UUID).ExtractErr())
	try("node", nodes.Delete(client, "gopher").ExtractErr())
	_, err = nodes.Get(client, "gopher").Extract()
	_, missing := err.(gophercloud.ErrDefault404)
	check("gone", missing)
	fmt.Println("all done")
}
