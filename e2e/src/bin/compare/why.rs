//! Why a program stopped, in one line of its own.

/// No line of a table is longer.
const LONGEST: usize = 200;

/// The line of a log that says best why its program gave up: the last that names an HTTP refusal, else
/// the last that names an error, else the last. One that ends in a colon goes on in the next. `None`: it
/// said nothing.
pub fn why(log: &str) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match lines.last_mut() {
            Some(begun) if begun.ends_with(':') => *begun = format!("{begun} {line}"),
            _ => lines.push(line.to_owned()),
        }
    }
    let last = |tells: fn(&str) -> bool| lines.iter().rev().find(|line| tells(line));
    let line = last(names_refusal).or(last(names_error)).or(lines.last())?;
    Some(shortened(line))
}

/// Does it name status 429 or 503, as a number of its own?
fn names_refusal(line: &str) -> bool {
    refusal(line).is_some()
}

/// Where it does.
fn refusal(line: &str) -> Option<usize> {
    let is_apart = |at: usize, code: &str| {
        let before = line[..at].chars().next_back();
        let after = line[at + code.len()..].chars().next();
        [before, after]
            .iter()
            .flatten()
            .all(|c| !c.is_ascii_alphanumeric())
    };
    ["429", "503"]
        .iter()
        .flat_map(|code| line.match_indices(code))
        .filter(|(at, code)| is_apart(*at, code))
        .map(|(at, _)| at)
        .min()
}

fn names_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("error") || line.contains("fail")
}

/// Its beginning and, if that leaves out where it names a refusal, what stands around that.
fn shortened(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    let first = |text: &str, count: usize| text.chars().take(count).collect::<String>();
    match refusal(&line) {
        Some(at) if line[..at].chars().count() >= LONGEST * 3 / 4 => {
            let before: Vec<char> = line[..at].chars().collect();
            let before: String = before[before.len() - LONGEST / 4..].iter().collect();
            let after = first(&line[at..], LONGEST / 4);
            format!("{} … {before}{after} …", first(&line, LONGEST / 2))
        }
        _ => format!("{}…", first(&line, LONGEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_more_than_the_lines_after_it() {
        let log = "begin\nThe CA answered 503 to newOrder\nAn error came up, see the log\nbye\n\n";
        assert_eq!(why(log).unwrap(), "The CA answered 503 to newOrder");
    }

    #[test]
    fn a_number_within_another_is_no_refusal() {
        let log = "listening on port 15030\nsomething Failed\nbye";
        assert_eq!(why(log).unwrap(), "something Failed");
    }

    #[test]
    fn a_line_that_ends_in_a_colon_goes_on_in_the_next() {
        let log = "An error came up:\nthe nonce was bad\nAsk for help";
        assert_eq!(why(log).unwrap(), "An error came up: the nonce was bad");
    }

    #[test]
    fn without_an_error_it_is_the_last_line() {
        assert_eq!(why("one\ntwo\n").unwrap(), "two");
        assert_eq!(why(" \n"), None);
    }

    #[test]
    fn a_long_line_is_cut_but_for_where_it_names_a_refusal() {
        let long = "é".repeat(LONGEST);
        let cut = why(&format!("begin {long} answered 503 to it {long}")).unwrap();
        assert!(cut.starts_with("begin é"), "{cut}");
        assert!(cut.contains(" answered 503 to it "), "{cut}");
        assert!(cut.chars().count() < LONGEST + 10, "{cut}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let cut = why(&"é".repeat(LONGEST + 1)).unwrap();
        assert_eq!(cut.chars().count(), LONGEST + 1);
        assert!(cut.ends_with("é…"));
    }
}
