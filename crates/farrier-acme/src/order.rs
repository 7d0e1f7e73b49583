//! One order, from the names to the certificate (RFC 8555 §7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};

use crate::IsPublished;
use crate::certificate::Leaf;
use crate::challenge::{Answers, kind_of};
use crate::connection::Connection;
use crate::failure::{Failure, words};
use crate::settings::{Challenge, Names};
use crate::state::State;

/// The interval of checks whether an answer is published, and the longest wait for it: the arbiter takes two seconds.
const PUBLISHED_INTERVAL: Duration = Duration::from_millis(100);
const PUBLISHED_TIMEOUT: Duration = Duration::from_secs(30);

/// Workers check the published certificates once a second.
const WORKERS_LOOK: Duration = Duration::from_millis(1_200);

/// The inputs of an order.
pub(crate) struct Ordering<'o> {
    pub(crate) account: &'o Account,
    pub(crate) connection: &'o Connection,
    pub(crate) state: &'o State,
    pub(crate) names: &'o Names,
    pub(crate) challenge: Challenge,
    /// The certificate that the new one replaces, if the authority tracks that (RFC 9773 §5).
    pub(crate) replaces: Option<CertificateIdentifier<'static>>,
    pub(crate) timeout: Duration,
    pub(crate) is_published: &'o IsPublished<'o>,
}

impl Ordering<'_> {
    /// Places the order and returns the chain and the key as one PEM text.
    ///
    /// # Errors Any failure, with a message.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let timeout = self.timeout;
        let reason = format!("the authority took longer than {} s (acme_timeout)", timeout.as_secs());
        match tokio::time::timeout(timeout, self.place()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::of_ours(reason).counted()),
        }
    }

    async fn place(self) -> Result<String, Failure> {
        let identifiers: Vec<Identifier> = self.names.all().iter().cloned().map(Identifier::Dns).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(replaces) = self.replaces.clone() {
            wanted = wanted.replaces(replaces);
        }
        let placed = match self.account.new_order(&wanted).await {
            // The authority may not know the replaced certificate; the order is valid all the same.
            Err(Error::Api(problem)) if self.replaces.is_some() && speaks_of_replacement(&problem) => {
                self.account.new_order(&NewOrder::new(&identifiers)).await
            }
            placed => placed,
        };
        let mut order = placed.map_err(|error| self.failed(&error, "ordering"))?;
        // Removed at the end, even after an error.
        let mut answers = Answers::default();
        self.prove(&mut order, &mut answers).await?;
        self.await_ready(&mut order).await?;
        let (key, request) = request(self.names)?;
        order
            .finalize_csr(&request)
            .await
            .map_err(|error| self.failed(&error, "asking for the certificate").counted())?;
        let chain = order.poll_certificate(&self.patience()).await;
        let chain = chain.map_err(|error| self.failed(&error, "waiting for the certificate").counted())?;
        let leaf = Leaf::of(&chain).map_err(|reason| Failure::of_ours(format!("the authority's answer: {reason}")))?;
        if leaf.public_key != key.subject_public_key_info() || !leaf.covers(self.names) {
            let reason = "the authority's certificate is not the one that was asked for: another key or other names";
            return Err(Failure::of_ours(reason).counted());
        }
        Ok(chain.trim_end().to_owned() + "\n" + &key.serialize_pem())
    }

    /// Proves each name that is not proven yet.
    async fn prove(&self, order: &mut Order, answers: &mut Answers) -> Result<(), Failure> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.failed(&error, "reading what is to be proven"))?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                status => {
                    let reason = format!("the authority's authorization is {status:?}").to_lowercase();
                    return Err(Failure::of_ours(reason).counted());
                }
            }
            let kind = self.challenge;
            let Some(mut challenge) = authorization.challenge(kind_of(kind)) else {
                let reason = format!("the authority offers no {} for these names", kind.word());
                return Err(Failure { is_validation: true, ..Failure::of_ours(reason) });
            };
            let (name, token) = (challenge.identifier().to_string(), challenge.token.clone());
            // It becomes the name of a file.
            if !self.names.all().contains(&name) {
                return Err(Failure::of_ours("the authority asks for a name that was not ordered"));
            }
            let shown = answers.put(self.state, kind, &name, &token, &challenge.key_authorization())?;
            if let Some(certificate) = shown {
                self.await_published(&name, &certificate).await?;
            }
            challenge.set_ready().await.map_err(|error| self.failed(&error, "announcing a proof").counted())?;
        }
        Ok(())
    }

    /// Waits until every worker serves the certificate that proves a name.
    async fn await_published(&self, name: &str, certificate: &[u8]) -> Result<(), Failure> {
        let published = async {
            while !(self.is_published)(name, certificate) {
                tokio::time::sleep(PUBLISHED_INTERVAL).await;
            }
        };
        if tokio::time::timeout(PUBLISHED_TIMEOUT, published).await.is_err() {
            return Err(Failure::of_ours("the workers were not given the certificate that proves the name"));
        }
        tokio::time::sleep(WORKERS_LOOK).await;
        Ok(())
    }

    async fn await_ready(&self, order: &mut Order) -> Result<(), Failure> {
        let failed = match order.poll_ready(&self.patience()).await {
            Ok(OrderStatus::Ready) => return Ok(()),
            // The errors of the names are more specific than that of the order.
            Ok(_) | Err(Error::Api(_)) => None,
            Err(error) => Some(self.failed(&error, "waiting for the validation").counted()),
        };
        Err(match failed {
            Some(failure) => failure,
            None => Failure::of_validation(self.verdict(order).await),
        })
    }

    /// The authority's errors about the names that it could not validate.
    async fn verdict(&self, order: &mut Order) -> String {
        let mut said = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let name = authorization.identifier().to_string();
            let invalid = authorization.challenges.iter().filter(|each| each.status == ChallengeStatus::Invalid);
            said.extend(invalid.filter_map(|each| each.error.as_ref()).map(|why| format!("{name}: {}", words(why))));
        }
        let said = if said.is_empty() { "without saying why".to_owned() } else { said.join("; ") };
        format!("the authority could not validate by {}: {said}", self.challenge.word())
    }

    fn patience(&self) -> RetryPolicy {
        // Polls every 1 to 2 s on average: authorities ask for no more than that, unless they send a pause.
        RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.4).timeout(self.timeout)
    }

    fn failed(&self, error: &Error, doing: &str) -> Failure {
        Failure::of(error, doing, self.connection.take_pause())
    }
}

fn speaks_of_replacement(problem: &instant_acme::Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let detail = problem.detail.as_deref().unwrap_or_default();
    kind.ends_with(":alreadyReplaced") || detail.contains("replace")
}

/// A new key and the request for a certificate with it (RFC 2986), in DER.
fn request(names: &Names) -> Result<(KeyPair, Vec<u8>), Failure> {
    let made = || -> Result<(KeyPair, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.all().to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        let der = request.der().to_vec();
        Ok((key, der))
    };
    made().map_err(|error| Failure::of_ours(format!("cannot make a key and a request: {error}")))
}
