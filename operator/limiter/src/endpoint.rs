//! The endpoints that CAs limit apart from the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a request is for, as far as CAs limit it apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// newNonce.
    NewNonce,
    /// newOrder.
    NewOrder,
    /// Anything else.
    #[default]
    Other,
}

impl Endpoint {
    /// Those that may have a limit of their own.
    pub(crate) const APART: [Self; 2] = [Self::NewNonce, Self::NewOrder];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewNonce => "newNonce",
            Self::NewOrder => "newOrder",
            Self::Other => "the rest",
        })
    }
}

/// One thing for each endpoint that may have a limit of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Apart<T> {
    pub(crate) new_nonce: T,
    pub(crate) new_order: T,
}

impl<T> Apart<T> {
    /// What `of` says of each.
    pub(crate) fn each(mut of: impl FnMut(Endpoint) -> T) -> Self {
        Self {
            new_nonce: of(Endpoint::NewNonce),
            new_order: of(Endpoint::NewOrder),
        }
    }

    /// The one of `endpoint`; [`Endpoint::Other`] has none.
    pub(crate) fn get(&self, endpoint: Endpoint) -> Option<&T> {
        match endpoint {
            Endpoint::NewNonce => Some(&self.new_nonce),
            Endpoint::NewOrder => Some(&self.new_order),
            Endpoint::Other => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, endpoint: Endpoint) -> Option<&mut T> {
        match endpoint {
            Endpoint::NewNonce => Some(&mut self.new_nonce),
            Endpoint::NewOrder => Some(&mut self.new_order),
            Endpoint::Other => None,
        }
    }
}
