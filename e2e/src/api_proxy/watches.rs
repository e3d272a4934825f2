//! What a replica learns by its watches: held back, so that its caches are stale while its reads and writes pass, or
//! ended, as the API server does when it restarts.

use anyhow::{Error, anyhow};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::watch;

/// The watches that pass a proxy, those to come included.
#[derive(Debug, Clone)]
pub struct Watches(watch::Sender<State>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_held: bool,
    /// How often they were ended.
    ends: usize,
}

impl Default for Watches {
    fn default() -> Self {
        Watches(watch::Sender::new(State::default()))
    }
}

impl Watches {
    /// Holds all events back until [`Watches::release`]. None is lost.
    pub fn hold(&self) {
        self.0.send_modify(|state| state.is_held = true);
    }

    /// Lets events through again, those that were held back first.
    pub fn release(&self) {
        self.0.send_modify(|state| state.is_held = false);
    }

    /// Ends all watches of this moment; what was held back of them is lost.
    pub fn end(&self) {
        self.0.send_modify(|state| state.ends += 1);
    }

    /// The body of a watch's answer on its way to the client.
    pub(super) fn pass(&self, body: Incoming) -> impl Body<Data = Bytes, Error = Error> + use<> {
        let state = self.0.subscribe();
        let ends = state.borrow().ends;
        StreamBody::new(stream::unfold((body, state), move |(body, state)| {
            frame(body, state, ends)
        }))
    }
}

type Passed = (Result<Frame<Bytes>, Error>, (Incoming, watch::Receiver<State>));

/// The next part of a watch that began when watches had been ended `ends` times.
async fn frame(mut body: Incoming, mut state: watch::Receiver<State>, ends: usize) -> Option<Passed> {
    let mut ended = state.clone();
    let frame = async {
        let frame = body.frame().await?;
        // Its sender lives as long as the proxy, and this ends with that.
        let _ = state.wait_for(|state| !state.is_held).await;
        Some(frame.map_err(Error::from))
    };
    let frame = tokio::select! {
        biased;
        _ = ended.wait_for(|state| state.ends != ends) => Err(anyhow!("the watch was ended")),
        frame = frame => frame?,
    };
    Some((frame, (body, state)))
}
