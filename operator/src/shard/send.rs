//! One request of an order to the CA.

use std::collections::BTreeMap;

use sancho_core::order::Request;
use sancho_core::response::Response;

use super::drive::Stop;
use crate::acme::error::SendError;
use crate::acme::session::{Terms, Warmed};
use crate::budget::UnrecordedGuard;
use crate::issuer::ReadyIssuer;

/// What came of a request.
pub(super) enum Sent {
    /// It was sent, or could not be.
    Answer(Result<Response, SendError>),
    /// It was not: the CA offers these profiles, by name and description, and not the one that newOrder is to have.
    NotOffered(BTreeMap<String, String>),
}

/// Sends `request` with what it needs of `terms`. The guard is to be kept until the answer is recorded: until then no
/// slot is released. Ends with [`Stop::SlotsLost`] as soon as no slot is held.
pub(super) async fn send(
    issuer: &ReadyIssuer,
    request: &Request,
    terms: Terms<'_>,
) -> Result<(Sent, UnrecordedGuard), Stop> {
    let profile = match request {
        Request::NewOrder { .. } => terms.profile,
        _ => None,
    };
    // Drives share the directory: while one fetches it the others wait, and hold nothing up.
    let warmed = tokio::select! {
        biased;
        warmed = issuer.session.warm(profile) => warmed,
        () = issuer.budget.lost() => return Err(Stop::SlotsLost),
    };
    let unrecorded = issuer.budget.unrecorded().begin();
    let answer = match warmed {
        Ok(Warmed::Ready) => tokio::select! {
            biased;
            answer = issuer.session.perform(request, Terms { profile, ..terms }) => answer,
            () = issuer.budget.lost() => return Err(Stop::SlotsLost),
        },
        Ok(Warmed::Throttled(answer)) => Ok(answer),
        Ok(Warmed::NotOffered(offered)) => return Ok((Sent::NotOffered(offered), unrecorded)),
        Err(error) => Err(error),
    };
    Ok((Sent::Answer(answer), unrecorded))
}
