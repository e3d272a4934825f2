//! What a soak has done: each line on the screen, each kind counted.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::screen::Screen;

/// The diary of one soak.
pub struct Diary {
    screen: Screen,
    counts: RefCell<BTreeMap<&'static str, usize>>,
}

impl Diary {
    /// An empty one, which says everything on standard output.
    pub fn new() -> Self {
        Diary {
            screen: Screen::lines_of_stdout(),
            counts: RefCell::default(),
        }
    }

    /// Something of this kind was done.
    pub fn note(&self, kind: &'static str, text: &str) {
        *self.counts.borrow_mut().entry(kind).or_default() += 1;
        self.screen.say(text);
    }

    /// Something that is not counted.
    pub fn say(&self, text: &str) {
        self.screen.say(text);
    }

    /// How often each kind was done.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.borrow().clone()
    }
}
