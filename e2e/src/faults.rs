//! Something that goes wrong with one request on its way through the CA front or the API proxy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;

/// How long [`Fault::AfterAnswer`] leaves the answer to reach the client.
const ANSWER_ARRIVES: Duration = Duration::from_millis(5);

/// What goes wrong. "The server" is the CA or the API server.
pub enum Fault {
    /// The server never sees it; this is answered.
    Answer {
        /// The status.
        status: u16,
        /// Header fields.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection is closed before the server sees it.
    CloseBefore,
    /// The server answers, and the connection is closed before the client sees a byte of it.
    CloseAfter,
    /// The server answers, and this runs before the client sees a byte of it.
    BeforeAnswer(Box<dyn FnOnce() + Send>),
    /// The client has its answer, and this runs 5 ms later.
    AfterAnswer(Box<dyn FnOnce() + Send>),
    /// The server sees it this much later.
    Delay(Duration),
    /// The server answers, and the client sees that this much later.
    AnswerLate(Duration),
}

impl Fault {
    /// Lets one request through as the fault has it. `forward` brings the server's answer. `Err`
    /// closes the connection.
    pub(crate) async fn perform<B>(
        fault: Option<Fault>,
        forward: impl Future<Output = Response<B>>,
        own_body: impl FnOnce(Full<Bytes>) -> B,
    ) -> Result<Response<B>> {
        match fault {
            None => Ok(forward.await),
            Some(Fault::Answer {
                status,
                headers,
                body,
            }) => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                Ok(response.body(own_body(Full::from(body)))?)
            }
            Some(Fault::CloseBefore) => Err(anyhow!("closed before the server saw it")),
            Some(Fault::CloseAfter) => {
                forward.await;
                Err(anyhow!("closed after the server answered"))
            }
            Some(Fault::BeforeAnswer(run)) => {
                let response = forward.await;
                run();
                Ok(response)
            }
            Some(Fault::AfterAnswer(run)) => {
                let response = forward.await;
                tokio::spawn(async move {
                    tokio::time::sleep(ANSWER_ARRIVES).await;
                    run();
                });
                Ok(response)
            }
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(forward.await)
            }
            Some(Fault::AnswerLate(delay)) => {
                let response = forward.await;
                tokio::time::sleep(delay).await;
                Ok(response)
            }
        }
    }
}

/// What goes wrong with which request: asked for each of them, one after the other.
pub(crate) struct Faults<R> {
    choose: Mutex<Arc<dyn Choose<R>>>,
}

trait Choose<R>: Send + Sync {
    fn choose(&self, request: &R) -> Option<Fault>;
}

impl<R, F: Fn(&R) -> Option<Fault> + Send + Sync> Choose<R> for F {
    fn choose(&self, request: &R) -> Option<Fault> {
        self(request)
    }
}

impl<R: 'static> Faults<R> {
    /// Nothing goes wrong.
    pub(crate) fn none() -> Self {
        Faults {
            choose: Mutex::new(Arc::new(|_: &R| None)),
        }
    }

    pub(crate) fn set(&self, choose: impl Fn(&R) -> Option<Fault> + Send + Sync + 'static) {
        *self.choose.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(choose);
    }

    pub(crate) fn choose(&self, request: &R) -> Option<Fault> {
        let choose = self.choose.lock().unwrap_or_else(PoisonError::into_inner).clone();
        choose.choose(request)
    }
}
