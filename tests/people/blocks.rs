//! Blocks of code in the pages, and what is to be done with them.
//!
//! A block without a language, or in a shell's, is commands: indented by four spaces, or fenced. They are run in a fresh Debian
//! (`fresh.rs`), page by page, unless a comment before the block says otherwise:
//!
//! - `<!-- not run: WHY -->`: not here, and what proves it instead, or that nothing does
//! - `<!-- stays -->`: the last command serves; it runs until the next one that stays, or the end of the page
//! - `<!-- needs a conductor -->`: one listens where the client looks for it
//! - `<!-- file: NAME -->`: no commands, but a file that those of the page use

/// Languages of commands.
const SHELLS: [&str; 4] = ["", "sh", "console", "bash"];

/// What a comment says of the block behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    NotRun(String),
    Stays,
    NeedsConductor,
    File(String),
}

/// A block of code.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    /// The line of its first line.
    pub(super) line: usize,
    language: String,
    marks: Vec<Mark>,
    /// Its lines, without their indentation.
    pub(super) text: String,
}

impl Block {
    /// Whether it is for a shell.
    pub(super) fn is_commands(&self) -> bool {
        SHELLS.contains(&self.language.as_str()) && self.file().is_none()
    }

    pub(super) fn has(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }

    /// Why it is not run.
    pub(super) fn not_run(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::NotRun(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// The name of the file that it is.
    pub(super) fn file(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Its command lines, as the shell sees them: those that go on are joined, what is fed to one stays with it.
    pub(super) fn lines(&self) -> Vec<String> {
        let (mut lines, mut whole, mut ends) = (Vec::new(), String::new(), None::<String>);
        for line in self.text.lines() {
            whole.push_str(line);
            if let Some(end) = &ends {
                if line.trim() == end {
                    ends = None;
                }
            } else if let Some((_, end)) = line.split_once("<<") {
                let end = end.trim_start_matches(['-', '\'', '"']);
                ends = end.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned);
            }
            if ends.is_some() || line.ends_with('\\') {
                whole.push('\n');
            } else {
                lines.push(std::mem::take(&mut whole));
            }
        }
        lines.extend((!whole.is_empty()).then_some(whole));
        lines
    }
}

fn mark(line: &str) -> Option<Mark> {
    let text = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    match text.split_once(": ") {
        Some(("not run", why)) => Some(Mark::NotRun(why.to_owned())),
        Some(("file", name)) => Some(Mark::File(name.to_owned())),
        _ if text == "stays" => Some(Mark::Stays),
        _ if text == "needs a conductor" => Some(Mark::NeedsConductor),
        _ => panic!("nobody knows what `{line}` means"),
    }
}

/// All blocks of a page.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let (mut marks, mut is_fenced) = (Vec::new(), false);
    for (number, line) in (1..).zip(page.lines()) {
        let fence = line.trim_start().strip_prefix("```");
        if is_fenced {
            match (fence, &mut open) {
                (Some(_), open) => {
                    blocks.extend(open.take());
                    is_fenced = false;
                }
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
            continue;
        }
        if let Some(language) = fence {
            let language = language.trim().to_owned();
            blocks.extend(open.take());
            open = Some(Block { line: number + 1, language, marks: std::mem::take(&mut marks), ..Block::default() });
            is_fenced = true;
        } else if let Some(code) = line.strip_prefix("    ") {
            let block = open.get_or_insert_with(|| Block {
                line: number,
                marks: std::mem::take(&mut marks),
                ..Block::default()
            });
            block.text += &format!("{code}\n");
        } else if line.trim().is_empty() {
            if let Some(block) = &mut open {
                block.text.push('\n');
            }
        } else {
            blocks.extend(open.take());
            match mark(line) {
                Some(mark) => marks.push(mark),
                None => assert!(marks.is_empty(), "line {number}: {marks:?} is before no block"),
            }
        }
    }
    blocks.extend(open);
    blocks
}
