//! The agent's protocol beside that of the Python agent.

mod differential;
mod discovery;
mod lldp;
