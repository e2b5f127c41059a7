//! Root device hints from a node, against a device: an answer or an error.
#![no_main]

use ferric_hardware::block::BlockDevice;
use ferric_hardware::block::hints::Hints;
use ferric_hardware::block::root_device::choose_among;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok((hints, devices)) = serde_json::from_slice::<(serde_json::Value, Vec<BlockDevice>)>(text) else { return };
    if let Ok(hints) = Hints::parse(&hints) {
        if let Ok(chosen) = choose_among(&devices, Some(&hints)) {
            assert_eq!(hints.fit(chosen), Ok(true));
        }
    }
});
