//! What is done to messages on the wire.

use proptest::prelude::*;

/// One thing that is done to a message.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    Set(prop::sample::Index, u8),
    /// A pointer (RFC 1035 §4.1.4) to somewhere.
    Pointer(prop::sample::Index, u16),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// A part stands there once more.
    Repeat(prop::sample::Index, prop::sample::Index, u8),
}

/// Any of it.
pub(super) fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0u16..0x4000).prop_map(|(at, to)| Damage::Pointer(at, to)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), at(), 1u8..20).prop_map(|(from, to, times)| Damage::Repeat(from, to, times)),
    ]
}

/// A message to which all this was done, one after the other.
pub(super) fn damaged(mut bytes: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        if bytes.is_empty() {
            return bytes;
        }
        match damage {
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Pointer(at, to) => {
                let at = at.index(bytes.len());
                let pointer = (0xc000 | to).to_be_bytes();
                let end = (at + 2).min(bytes.len());
                bytes.splice(at..end, pointer);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Repeat(from, to, times) => {
                let (one, other) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[one.min(other)..one.max(other)].repeat(usize::from(*times));
                bytes.extend(part);
                bytes.truncate(usize::from(u16::MAX));
            }
        }
    }
    bytes
}
