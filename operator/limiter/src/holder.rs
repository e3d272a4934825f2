//! Who holds a slot.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The identity of one process that may hold slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// UID of the pod; empty outside Kubernetes, and then no process succeeds another.
    pub pod_uid: String,
    /// Name of the container within the pod.
    pub container: String,
    /// Differs at every start of the process.
    pub process: String,
}

impl Holder {
    /// Is this a later process of the container that `earlier` ran in?
    ///
    /// A container runs one process at a time, so `earlier` is dead if this process asks.
    pub fn succeeds(&self, earlier: &Self) -> bool {
        !self.pod_uid.is_empty()
            && self.pod_uid == earlier.pod_uid
            && self.container == earlier.container
            && self.process != earlier.process
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.pod_uid, self.container, self.process)
    }
}

/// A process in the waiting list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Waiter {
    /// Who waits.
    pub holder: Holder,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}
