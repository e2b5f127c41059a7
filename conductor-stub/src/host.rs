//! Machines in the words of Metal3: BareMetalHosts, read from files and taken where they are to be by Ironic's API alone,
//! so that the conductor may be ours or Ironic itself.
//!
//! - [`document`]: what files say; [`spec`]: what they say of a machine; [`bmc_address`]: where its BMC is
//! - [`wanted`]: the same in Ironic's words; [`seal`]: how it is known again
//! - [`ironic`]: Ironic's API; [`reconcile`]: the request that comes next; [`apply`]: one request after the other
//! - [`status`]: back into the words of Metal3; [`hardware`]: what inspection found
//!
//! Contract: Metal3's baremetal-operator, `apis/metal3.io/v1alpha1/baremetalhost_types.go` and `pkg/provisioner/ironic`.

pub mod apply;
pub mod bmc_address;
pub mod document;
pub mod hardware;
pub mod ironic;
pub mod reconcile;
pub mod seal;
pub mod spec;
pub mod status;
pub mod wanted;
