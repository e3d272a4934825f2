//! Markdown read as far as the tests need it: fenced blocks, code within lines, headings, links.

use std::path::Path;

use sancho_e2e::world::repository;

/// A page, and where it stands in the repository.
pub struct Page {
    pub path: String,
    lines: Vec<String>,
}

/// A fenced block.
pub struct Block {
    /// `docs/solvers.md:42`, for a failed test to say.
    pub place: String,
    /// `sh`, `yaml`, `text`; empty if none is given.
    pub language: String,
    pub text: String,
    /// The file that the line before says it is: "`storefront.yaml`:".
    pub file: Option<String>,
}

/// All pages for people: the README's first, those of `docs` by name, and the chart's.
pub fn pages() -> Vec<Page> {
    let mut paths = vec![
        "README.md".to_owned(),
        "ARCHITECTURE.md".to_owned(),
        "CHANGELOG.md".to_owned(),
        "charts/sancho/README.md".to_owned(),
    ];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        let mut found: Vec<String> = std::fs::read_dir(repository().join(&folder))
            .unwrap()
            .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
            .collect();
        found.sort();
        for path in found {
            if repository().join(&path).is_dir() {
                folders.push(path);
            } else if Path::new(&path).extension().is_some_and(|end| end == "md") {
                paths.push(path);
            }
        }
    }
    paths.into_iter().map(|path| page(&path)).collect()
}

/// One page.
pub fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(repository().join(path)).unwrap();
    Page {
        path: path.to_owned(),
        lines: text.lines().map(str::to_owned).collect(),
    }
}

impl Page {
    /// The lines that stand in no block, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let mut prose = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                prose.push((index + 1, line.as_str()));
            }
        }
        assert!(!is_code, "{}: a block is not closed", self.path);
        prose
    }

    /// The fenced blocks, from the top to the bottom.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.lines.iter().enumerate();
        let mut before = "";
        while let Some((index, line)) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                if !line.trim().is_empty() {
                    before = line.trim();
                }
                continue;
            };
            let indent = line.len() - line.trim_start().len();
            let inner = lines.by_ref().map(|(_, line)| line);
            let inner = inner.take_while(|line| !line.trim_start().starts_with("```"));
            let text: Vec<&str> = inner.map(|line| line.get(indent..).unwrap_or_default()).collect();
            let file = before.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:"));
            blocks.push(Block {
                place: format!("{}:{}", self.path, index + 1),
                language: language.to_owned(),
                text: text.join("\n") + "\n",
                file: file.map(str::to_owned),
            });
        }
        blocks
    }

    /// Code within lines, with the number of the line where it begins. A span may go on over the line's end.
    pub fn spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        let mut open: Option<(usize, String)> = None;
        for (number, line) in self.prose() {
            // A paragraph's end is a span's end.
            if line.trim().is_empty() {
                open = None;
            }
            for (index, part) in line.split('`').enumerate() {
                if index > 0 {
                    open = match open.take() {
                        Some(span) => {
                            spans.push(span);
                            None
                        }
                        None => Some((number, String::new())),
                    };
                }
                if let Some((_, text)) = &mut open {
                    if index == 0 && !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(part.trim_start());
                }
            }
        }
        spans
    }

    /// The headings, as written.
    pub fn headings(&self) -> Vec<&str> {
        let prose = self.prose().into_iter();
        let headings = prose.filter(|(_, line)| line.starts_with('#'));
        headings
            .map(|(_, line)| line.trim_start_matches('#').trim())
            .collect()
    }

    /// The anchors that GitHub gives its headings.
    pub fn anchors(&self) -> Vec<String> {
        self.headings().into_iter().map(anchor).collect()
    }

    /// Where its links lead, with the number of the line.
    pub fn links(&self) -> Vec<(usize, &str)> {
        let prose = self.prose().into_iter();
        prose
            .flat_map(|(number, line)| {
                let targets = line.split("](").skip(1);
                targets.filter_map(move |rest| Some((number, rest.split_once(')')?.0)))
            })
            .collect()
    }

    /// The tables: for each its head and its rows, cell by cell.
    pub fn tables(&self) -> Vec<Vec<Vec<&str>>> {
        let mut tables: Vec<Vec<Vec<&str>>> = Vec::new();
        let mut last = 0;
        for (number, line) in self.prose() {
            if !line.starts_with('|') {
                continue;
            }
            if number != last + 1 || tables.is_empty() {
                tables.push(Vec::new());
            }
            last = number;
            let cells = line.trim_matches('|').split(" | ").map(str::trim).collect();
            if !line.starts_with("|---") {
                tables.last_mut().unwrap().push(cells);
            }
        }
        tables
    }
}

/// The code spans of a table's cell.
pub fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// GitHub's anchor of a heading.
pub fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let page = Page {
        path: "x.md".into(),
        lines: "# A `b`, c\n\nSay `kubectl\nsancho status` or [do](y.md#z).\n\n`f.yaml`:\n\n  ```yaml\n  a:\n    b: 1\n  ```\n\n| x | y |\n|---|---|\n| `1` | 2 |"
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    assert_eq!(page.anchors(), ["a-b-c"]);
    let spans: Vec<String> = page.spans().into_iter().map(|(_, span)| span).collect();
    assert_eq!(spans, ["b", "kubectl sancho status", "f.yaml", "1"]);
    assert_eq!(page.links(), [(4, "y.md#z")]);
    let block = &page.blocks()[0];
    assert_eq!(
        (block.place.as_str(), block.language.as_str()),
        ("x.md:8", "yaml")
    );
    assert_eq!(
        (block.text.as_str(), block.file.as_deref()),
        ("a:\n  b: 1\n", Some("f.yaml"))
    );
    assert_eq!(page.tables(), [[["x", "y"], ["`1`", "2"]]]);
}
