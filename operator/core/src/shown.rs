//! Text from elsewhere, made fit to be shown in a status, an event or a log line.

/// The most characters that [`shown`] gives back.
pub const SHOWN_MAX: usize = 512;

/// `text`, safe to show: control characters and those that change the direction or the visibility
/// of their neighbours are escaped (`\n`, `\u{202e}`), and what exceeds [`SHOWN_MAX`] characters is
/// cut off, with `…` in its place.
pub fn shown(text: &str) -> String {
    shown_within(text, SHOWN_MAX)
}

/// Like [`shown`], with at most `max` characters.
pub fn shown_within(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        let piece: String = if is_unfit(c) {
            c.escape_default().collect()
        } else {
            c.to_string()
        };
        let width = piece.chars().count();
        // One place is kept for the ellipsis, unless this piece is the last and fits exactly.
        let room = max - length;
        if width > room || (width == room && !chars.as_str().is_empty()) {
            out.push('…');
            return out;
        }
        out.push_str(&piece);
        length += width;
    }
    out
}

fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(
            shown("  No valid A records for größe.example  "),
            "No valid A records for größe.example"
        );
    }

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(
            shown("a\r\nb\u{1b}[31m\u{202e}c"),
            "a\\r\\nb\\u{1b}[31m\\u{202e}c"
        );
    }

    #[test]
    fn long_text_is_cut_at_the_bound_and_says_so() {
        let text = shown(&"é".repeat(5000));
        assert_eq!(text.chars().count(), SHOWN_MAX);
        assert!(text.ends_with('…'));
        let exact = "x".repeat(SHOWN_MAX);
        assert_eq!(shown(&exact), exact);
        assert!(shown(&"\n".repeat(1000)).chars().count() <= SHOWN_MAX);
    }
}
