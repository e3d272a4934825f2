//! Sessions: what an API gives out for credentials, and lets in by for a while.
//!
//! # Guarantees
//! - An account has one session in this process, whoever uses it.
//! - One that the API ends before its time is begun anew, and what it was refused for is asked again. One that is
//!   refused right after its login is not: something else is wrong then.

use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use sancho_core::response::Response;
use zeroize::Zeroizing;

use super::api::{Account, ApiRequest, header};
use super::fault::DnsFault;

/// As what it is remembered.
const SESSION: &str = "a session";
/// Others may begin sessions meanwhile, which end as well.
const MOST_TRIES: u32 = 3;

/// What was given out.
pub(super) struct Granted {
    pub(super) token: Zeroizing<String>,
    /// How long it is to be used.
    pub(super) time: Duration,
}

impl Account {
    /// Sends with a session and gives the answer back, whatever it is. `log_in` begins a session, `send` sends with its
    /// token, and `is_ended` says whether an answer is that to a session that is none.
    ///
    /// # Errors
    /// Those of `log_in` and `send`.
    pub(super) async fn in_session<L, S>(
        &self,
        log_in: impl Fn() -> L + Send + Sync,
        send: impl Fn(Zeroizing<String>) -> S + Send + Sync,
        is_ended: impl Fn(&Response) -> bool + Send + Sync,
    ) -> Result<Response, DnsFault>
    where
        L: Future<Output = Result<Granted, DnsFault>> + Send,
        S: Future<Output = Result<Response, DnsFault>> + Send,
    {
        let mut left = MOST_TRIES;
        loop {
            let (token, is_new) = self.session(&log_in).await?;
            let response = send(token.clone()).await?;
            if !is_ended(&response) {
                return Ok(response);
            }
            self.forget_if(SESSION, &token);
            left -= 1;
            if is_new || left == 0 {
                return Ok(response);
            }
        }
    }

    /// Sends a request whose body, if it has one, is JSON, and that the session's token lets in as a bearer (RFC 6750).
    ///
    /// # Errors
    /// Those of `log_in` and [`Account::send`].
    pub(super) async fn send_as_bearer<L>(
        &self,
        log_in: impl Fn() -> L + Send + Sync,
        mut request: ApiRequest<'_>,
        is_throttle: impl Fn(&Response) -> bool + Copy + Send + Sync + 'static,
    ) -> Result<Response, DnsFault>
    where
        L: Future<Output = Result<Granted, DnsFault>> + Send,
    {
        if !request.body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            request.headers.push((CONTENT_TYPE, json));
        }
        let send = |token: Zeroizing<String>| {
            let mut request = request.clone();
            async move {
                let bearer = Zeroizing::new(format!("Bearer {}", *token));
                request.headers.push((AUTHORIZATION, header(&bearer)?));
                self.send(request, is_throttle).await
            }
        };
        self.in_session(log_in, send, |response| response.status == 401)
            .await
    }

    /// The session's token, and whether it was had for this request.
    async fn session<L>(&self, log_in: impl Fn() -> L + Send) -> Result<(Zeroizing<String>, bool), DnsFault>
    where
        L: Future<Output = Result<Granted, DnsFault>> + Send,
    {
        let _turn = self.turn(SESSION).await?;
        if let Some(token) = self.recall(SESSION) {
            return Ok((token, false));
        }
        let Granted { token, time } = log_in().await?;
        self.remember(SESSION, &token, time);
        Ok((token, true))
    }
}
