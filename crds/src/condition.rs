//! Conditions, as the Kubernetes API conventions have them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The condition of that type, if it is there.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}

/// Sets a condition. `lastTransitionTime` moves only when the status changes, so that an
/// unchanged state is an unchanged object.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: &Time,
) {
    let status = if status { "True" } else { "False" };
    let since = condition(conditions, kind)
        .filter(|c| c.status == status)
        .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    let new = Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|c| c.type_ == kind) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Takes a condition away whose type says that something is the matter: nothing is. What such a type says is so only while it is
/// there (kstatus calls that abnormal-true).
pub fn unset_condition(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.type_ != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_does() {
        let mut conditions = Vec::new();
        set_condition(
            &mut conditions,
            "Ready",
            false,
            "Waiting",
            "41 of 42",
            Some(1),
            &at(10),
        );
        set_condition(
            &mut conditions,
            "Ready",
            false,
            "Waiting",
            "40 of 42",
            Some(2),
            &at(20),
        );
        let ready = condition(&conditions, "Ready").unwrap();
        assert_eq!(
            (ready.message.as_str(), ready.observed_generation),
            ("40 of 42", Some(2))
        );
        assert_eq!(ready.last_transition_time, at(10));

        set_condition(&mut conditions, "Ready", true, "Issued", "all", Some(2), &at(30));
        assert_eq!(conditions.len(), 1);
        assert_eq!(
            condition(&conditions, "Ready").unwrap().last_transition_time,
            at(30)
        );
    }

    #[test]
    fn what_is_over_is_said_no_more() {
        let mut conditions = Vec::new();
        for kind in ["Ready", "Stalled"] {
            set_condition(&mut conditions, kind, true, "Some", "", None, &at(10));
        }
        unset_condition(&mut conditions, "Stalled");
        unset_condition(&mut conditions, "Renewing");
        assert!(condition(&conditions, "Stalled").is_none());
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn an_unchanged_state_is_an_unchanged_object() {
        let mut conditions = Vec::new();
        set_condition(
            &mut conditions,
            "Stalled",
            true,
            "BadIssuer",
            "no such issuer",
            Some(3),
            &at(10),
        );
        let before = conditions.clone();
        set_condition(
            &mut conditions,
            "Stalled",
            true,
            "BadIssuer",
            "no such issuer",
            Some(3),
            &at(99),
        );
        assert_eq!(conditions, before);
        assert!(condition(&conditions, "Ready").is_none());
    }
}
