//! Consoles, as `--console` of coreos-installer has them: one word for the kernel and the boot loader.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Speed of a serial line that nobody names.
const DEFAULT_SPEED: u32 = 9600;
const SCREENS: [&str; 3] = ["tty0", "hvc0", "ttysclp0"];
const SERIAL_PREFIXES: [&str; 2] = ["ttyS", "ttyAMA"];

/// Not a console.
#[derive(Debug, Error)]
#[error("{0:?} is no console: tty0, hvc0, ttysclp0, or a serial line as in ttyS0,115200n8")]
pub(super) struct ConsoleError(String);

/// A console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Console {
    /// A screen.
    Screen(String),
    /// A serial line.
    Serial(Serial),
}

/// A serial line and how it is spoken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Serial {
    prefix: &'static str,
    port: u8,
    speed: u32,
    parity: char,
    data_bits: u8,
}

impl Console {
    /// GRUB's command for it.
    pub(super) fn grub_command(&self) -> Option<String> {
        let Self::Serial(Serial { port, speed, parity, data_bits, .. }) = self else { return None };
        let parity = match parity {
            'o' => "odd",
            'e' => "even",
            _ => "no",
        };
        Some(format!("serial --unit={port} --speed={speed} --word={data_bits} --parity={parity}"))
    }

    /// GRUB's name for it.
    pub(super) fn grub_terminal(&self) -> &'static str {
        match self {
            Self::Screen(_) => "console",
            Self::Serial(_) => "serial",
        }
    }
}

impl FromStr for Console {
    type Err = ConsoleError;

    fn from_str(text: &str) -> Result<Self, ConsoleError> {
        if SCREENS.contains(&text) {
            return Ok(Self::Screen(text.to_string()));
        }
        serial(text).map(Self::Serial).ok_or_else(|| ConsoleError(text.to_string()))
    }
}

fn serial(text: &str) -> Option<Serial> {
    let (prefix, rest) = SERIAL_PREFIXES.iter().find_map(|prefix| Some((*prefix, text.strip_prefix(prefix)?)))?;
    let (port, settings) = match rest.split_once(',') {
        Some((port, settings)) => (port, Some(settings)),
        None => (rest, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut serial = Serial {
        prefix,
        port: Some(port).filter(|port| is_number(port))?.parse().ok()?,
        speed: DEFAULT_SPEED,
        parity: 'n',
        data_bits: 8,
    };
    if let Some(settings) = settings {
        let end = settings.find(|character: char| !character.is_ascii_digit()).unwrap_or(settings.len());
        let (speed, format) = settings.split_at(end);
        serial.speed = speed.parse().ok()?;
        let mut format = format.chars();
        if let Some(parity) = format.next() {
            serial.parity = Some(parity).filter(|parity| "noe".contains(*parity))?;
        }
        if let Some(bits) = format.next() {
            serial.data_bits = bits.to_digit(10).filter(|bits| (5..=8).contains(bits))? as u8;
        }
        if format.next().is_some() {
            return None;
        }
    }
    Some(serial)
}

impl fmt::Display for Console {
    /// As the kernel argument `console=` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Screen(name) => f.write_str(name),
            Self::Serial(Serial { prefix, port, speed, parity, data_bits }) => {
                write!(f, "{prefix}{port},{speed}{parity}{data_bits}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_read_and_written() {
        for (text, karg, grub) in [
            ("tty0", "tty0", None),
            ("ttyS1", "ttyS1,9600n8", Some("serial --unit=1 --speed=9600 --word=8 --parity=no")),
            ("ttyAMA0,115200e7", "ttyAMA0,115200e7", Some("serial --unit=0 --speed=115200 --word=7 --parity=even")),
        ] {
            let console: Console = text.parse().unwrap();
            assert_eq!(console.to_string(), karg);
            assert_eq!(console.grub_command().as_deref(), grub);
        }
        for text in
            ["", "ttyS", "ttyS0,", "ttyS0,9600x", "ttyS0,9600n9", "ttyS0,9600n8r", "console=tty0", "tty1", "ttyS999"]
        {
            assert!(text.parse::<Console>().is_err(), "{text}");
        }
    }
}
