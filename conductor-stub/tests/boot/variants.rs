//! A thousand machines boot one ISO, each with kernel arguments and an Ignition config of its own, and it is on the disk once.

use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use conductor_stub::config::Config;
use conductor_stub::coreos::agent::CoreosIpa;
use conductor_stub::media::Medium;
use conductor_stub::node::{Node, Spec};
use conductor_stub::ramdisk::sources::Sources;
use conductor_stub::ramdisk::{ByConfiguration, Ramdisk, Ramdisks};
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::live_iso::LiveIso;
use ferric_ignition::patch;
use reqwest::header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG, IF_RANGE, RANGE};
use uuid::Uuid;

use crate::bench::Bench;
use crate::live_iso::live_iso;

const VARIANTS: usize = 1000;
const ISO_MIB: u64 = 100;
const GROWTH_MIB: u64 = 10;

/// Bytes of a folder on the disk.
fn disk_use(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { disk_use(&path) } else { path.metadata().unwrap().blocks() * 512 }).sum()
}

fn arguments(number: usize) -> Vec<KernelArgument> {
    let token = format!("ipa-agent-token={number:043}");
    [token.as_str(), "ipa-api-url=http://192.0.2.1:6385", "BOOTIF=01-52-54-00-aa-bb-01"]
        .map(|word| word.parse().unwrap())
        .to_vec()
}

#[tokio::test]
async fn a_thousand_variants_are_one_iso_on_the_disk() {
    let bench = Bench::start(Config::default()).await;
    let iso = live_iso(bench.folder.path(), ISO_MIB).unwrap();
    let state = bench.folder.path().join("conductor");
    let ipa = CoreosIpa { agent_image: "registry.example:5000/ferric/agent:1".into(), ..CoreosIpa::default() };
    let site = ipa.site(&bench.server.url, None).unwrap();
    let (artefacts, media) = (bench.server.conductor.artefacts.clone(), bench.server.conductor.media.clone());
    let sources = Sources { named: ByConfiguration::default(), coreos: None, media };
    let ramdisks = Ramdisks { sources, arguments: String::new(), coreos: Some(site.clone()), artefacts };
    let base = Ramdisk::live_iso(Medium::of_host(iso.clone()));
    let before = disk_use(&state);
    let mut variants = Vec::new();
    for number in 0..VARIANTS {
        let node = Node::new(Uuid::new_v4(), Spec::default());
        let url = ramdisks.issue(&node, base.clone(), arguments(number)).await.unwrap();
        variants.push((node, url));
    }
    let mut grown = disk_use(&state) - before;
    // The log of the database is taken over a moment later.
    for _ in 0..600 {
        if grown < GROWTH_MIB << 20 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        grown = disk_use(&state) - before;
    }
    assert!(grown < GROWTH_MIB << 20, "{grown} bytes");

    let mut tags = std::collections::BTreeSet::new();
    let file = File::open(&iso).unwrap();
    for (number, (node, url)) in variants.iter().enumerate() {
        let mut live = LiveIso::read(&file).unwrap();
        live.append_kernel_arguments(&arguments(number)).unwrap();
        live.set_ignition(&site.ignition(node).unwrap());
        let patches = live.patches().unwrap();
        assert_eq!(patches.len(), 3);
        for area in &patches {
            // It begins before the area and ends behind it.
            let (start, end) = (area.offset - 6, area.offset + area.bytes.len() as u64 + 3);
            let mut expected = vec![0; (end - start) as usize];
            file.read_exact_at(&mut expected, start).unwrap();
            expected[6..6 + area.bytes.len()].copy_from_slice(&area.bytes);
            let range = format!("bytes={start}-{}", end - 1);
            let answer = bench.client.get(url).header(RANGE, range).send().await.unwrap();
            assert_eq!(answer.status(), 206);
            assert!(answer.bytes().await.unwrap() == expected, "variant {number} at {start}");
        }
        if number % 250 == 0 {
            let mut copy = Vec::new();
            patch::copy(&mut File::open(&iso).unwrap(), &mut copy, &patches).unwrap();
            let served = bench.client.get(url).send().await.unwrap().bytes().await.unwrap();
            assert!(served == copy, "variant {number} is not the copy");
            let served = LiveIso::read(Cursor::new(served)).unwrap();
            assert!(served.kernel_arguments().unwrap().contains(&format!("={number:043}")));
            assert!(served.ignition().is_some());
        }
        let head = bench.client.head(url).send().await.unwrap();
        let header = |name| head.headers()[&name].to_str().unwrap().to_owned();
        assert_eq!(header(CONTENT_LENGTH), iso.metadata().unwrap().len().to_string());
        assert_eq!(header(ACCEPT_RANGES), "bytes");
        tags.insert(header(ETAG));
    }
    assert_eq!(tags.len(), VARIANTS, "every variant is another entity");
    assert!(tags.iter().all(|tag| tag.starts_with('"')), "strong tags");
    // A download that goes on is one of the same variant.
    let other =
        bench.client.get(&variants[0].1).header(RANGE, "bytes=9-").header(IF_RANGE, tags.last().unwrap()).send().await;
    let own = bench.client.head(&variants[0].1).send().await.unwrap().headers()[&ETAG].clone();
    if own != tags.last().unwrap().as_str() {
        assert_eq!(other.unwrap().status(), 200);
    }

    // Another file under the same name is not changed for anybody.
    fs::write(iso.with_extension("new"), "another one").unwrap();
    fs::rename(iso.with_extension("new"), &iso).unwrap();
    assert_eq!(bench.client.get(&variants[0].1).send().await.unwrap().status(), 404);
}
