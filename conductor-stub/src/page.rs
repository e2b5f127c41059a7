//! The page for people: plain files that are part of the program, and what is generated from the state machine.
//!
//! Two documents, the list of machines and one machine, with small modules of JavaScript. They are told what changes by
//! the stream of events, and ask for everything through the same API as all clients.
//!
//! - [`state_machine`]: the drawing of the states

pub mod state_machine;

use std::sync::LazyLock;

use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use crate::state::TRANSITIONS;

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Its name below `/page/`; documents have none.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its text.
    pub text: String,
    /// Tells this text from others, quoted.
    pub etag: String,
}

impl Asset {
    fn new(name: &'static str, media_type: &'static str, text: String) -> Self {
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&text)[..8]));
        Self { name, media_type, text, etag }
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The files, by name.
macro_rules! files {
    ($($name:literal: $media_type:ident),+ $(,)?) => {
        [$(($name, $media_type, include_str!(concat!("page/", $name)))),+]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files = files! {
        "style.css": CSS,
        "icon.svg": SVG,
        "actions.js": JAVASCRIPT,
        "api.js": JAVASCRIPT,
        "chip.js": JAVASCRIPT,
        "console.js": JAVASCRIPT,
        "dom.js": JAVASCRIPT,
        "format.js": JAVASCRIPT,
        "inventory.js": JAVASCRIPT,
        "list.js": JAVASCRIPT,
        "live.js": JAVASCRIPT,
        "machine.js": JAVASCRIPT,
        "media.js": JAVASCRIPT,
        "timeline.js": JAVASCRIPT,
    };
    let mut assets: Vec<Asset> =
        files.into_iter().map(|(name, media_type, text)| Asset::new(name, media_type, text.to_owned())).collect();
    assets.push(Asset::new("states.js", JAVASCRIPT, states()));
    assets
});

/// The document with all machines.
pub static LIST: LazyLock<Asset> = LazyLock::new(|| Asset::new("", HTML, include_str!("page/list.html").to_owned()));

/// The document with one machine; which one, it reads from its URL.
pub static MACHINE: LazyLock<Asset> = LazyLock::new(|| {
    let template = include_str!("page/machine.html");
    Asset::new("", HTML, template.replace("<!-- state machine -->", &state_machine::svg()))
});

/// The file of this name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The state machine as a module: what each state means, and the verbs that lead on from it.
fn states() -> String {
    let mut states = Map::new();
    for (from, event, to) in TRANSITIONS {
        for state in [from, to] {
            states.entry(state.as_str()).or_insert_with(|| json!({"phase": state.phase(), "verbs": []}));
        }
        if let Some(verb) = event.verb()
            && let Some(verbs) = states[from.as_str()]["verbs"].as_array_mut()
        {
            verbs.push(json!({"verb": verb, "to": to}));
        }
    }
    format!("// Made from the conductor's table of transitions.\nexport const states = {};\n", json!(states))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_asks_for_is_there() {
        let documents = [&*LIST, &*MACHINE];
        let texts = documents.into_iter().chain(ASSETS.iter()).map(|asset| asset.text.as_str());
        let mut asked = 0;
        for text in texts {
            let absolute = text.split("\"/page/").skip(1).filter_map(|rest| rest.split('"').next());
            let modules = text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
            for name in absolute.chain(modules).filter(|name| name.contains('.')) {
                assert!(asset(name).is_some(), "{name}");
                asked += 1;
            }
        }
        assert!(asked > 10, "{asked}");
    }

    #[test]
    fn nothing_of_the_page_is_inline_or_elsewhere() {
        for asset in [&*LIST, &*MACHINE].into_iter().chain(ASSETS.iter()) {
            for foreign in ["http://", "https://", "style=\"", "onclick=\"", "innerHTML", "insertAdjacentHTML", "eval("]
            {
                let text = asset.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(foreign), "{foreign} in {}", asset.name);
            }
        }
        assert!(MACHINE.text.contains("data-state=\"wait call-back\""), "the drawing is in its place");
    }

    /// Relative luminance and contrast as WCAG 2.2 defines them.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |colour: &str| {
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let (a, b) = (luminance(one), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn everything_can_be_read_in_light_and_dark() {
        let style = &asset("style.css").unwrap().text;
        let schemes: Vec<&str> = style.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            let colour = |name: &str| {
                let value = scheme.split(&format!("--{name}: ")).nth(1).unwrap_or_else(|| panic!("no {name}"));
                value.split(';').next().unwrap().to_owned()
            };
            let tones = ["failed", "working", "waiting", "held", "active", "available", "idle"];
            let pairs = tones.iter().map(|tone| ((*tone).to_owned(), format!("{tone}-ground")));
            let on_surface = tones
                .iter()
                .chain(&["text", "quiet", "accent"])
                .flat_map(|text| ["surface", "ground", "hover"].map(|ground| ((*text).to_owned(), ground.to_owned())));
            let buttons = [("on-accent", "accent"), ("surface", "failed")].map(|(a, b)| (a.to_owned(), b.to_owned()));
            for (text, ground) in pairs.chain(on_surface).chain(buttons) {
                let found = contrast(&colour(&text), &colour(&ground));
                assert!(found >= 4.5, "{text} on {ground}: {found:.2} in {scheme}");
            }
        }
    }

    #[test]
    fn the_verbs_of_a_state_are_those_of_the_table() {
        let text = states();
        let json = text.split_once("states = ").and_then(|(_, rest)| rest.trim_end().strip_suffix(';')).unwrap();
        let states: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(states["available"]["verbs"][0], json!({"verb": "active", "to": "deploying"}));
        assert_eq!(
            states["clean wait"],
            json!({"phase": "waiting", "verbs": [{"verb": "abort", "to": "clean failed"}]})
        );
    }
}
