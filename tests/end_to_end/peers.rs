//! The real programs on the other side: Ironic, its clients, sushy and sushy-tools, DMTF's validators.

mod generated;
mod ironic;
mod redfish;
mod stub_clients;
mod validators;
