//! The account at the authority: created once, stored, and bound to an external account if the authority requires one.

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::settings::{ExternalAccount, Settings};
use crate::state::State;

/// The interval of checks whether the other server has made its account.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// The stored data of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The e-mail address that the authority has.
    email: Option<String>,
    /// The key, and the account's address.
    credentials: AccountCredentials,
}

/// The stored account, or a new one.
///
/// # Arguments
///
/// `anew` always makes a new one: the authority does not know the old one any more.
///
/// # Errors
/// The authority cannot be reached or refuses; the key cannot be written.
pub(crate) async fn account(
    settings: &Settings,
    state: &State,
    connection: &Connection,
    anew: bool,
) -> Result<Account, Failure> {
    let place = state.account(&settings.directory);
    // Held until the key is written.
    let _lock = loop {
        match state.lock_accounts()? {
            Some(lock) => break lock,
            // Another server is making one, which takes a few requests; if it dies, the lock is released.
            None => tokio::time::sleep(LOCK_INTERVAL).await,
        }
    };
    let builder = || Account::builder_with_http(Box::new(connection.clone()));
    let failed = |error: &instant_acme::Error, doing: &str| Failure::of(error, doing, pause(connection));
    let kept = if anew { None } else { State::read(&place)? };
    if let Some(text) = kept {
        let kept: Kept = serde_json::from_str(&text)
            .map_err(|error| Failure::of_ours(format!("{} is no account: {error}", place.display())))?;
        let email_is_same = kept.email == settings.email;
        let Kept { credentials, .. } = kept;
        let written = if email_is_same { None } else { Some(to_text(&settings.email, &credentials)?) };
        let account =
            builder().from_credentials(credentials).await.map_err(|error| failed(&error, "looking up the account"))?;
        if let Some(text) = written {
            let contacts = contacts(settings);
            let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
            let updated = account.update_contacts(&contacts).await;
            updated.map_err(|error| failed(&error, "changing the account's e-mail address"))?;
            State::write(&place, &text)?;
        }
        return Ok(account);
    }
    let contacts = contacts(settings);
    let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
    let binding = settings.external_account.as_ref().map(binding).transpose()?;
    let made = builder().create(&wanted, settings.directory.clone(), binding.as_ref()).await;
    let (account, credentials) = made.map_err(|error| failed(&error, "making an account"))?;
    State::write(&place, &to_text(&settings.email, &credentials)?)?;
    Ok(account)
}

fn pause(connection: &Connection) -> Option<Duration> {
    connection.take_pause()
}

fn contacts(settings: &Settings) -> Vec<String> {
    settings.email.iter().map(|email| format!("mailto:{email}")).collect()
}

fn to_text(email: &Option<String>, credentials: &AccountCredentials) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Keep<'a> {
        email: &'a Option<String>,
        credentials: &'a AccountCredentials,
    }
    serde_json::to_string(&Keep { email, credentials })
        .map_err(|error| Failure::of_ours(format!("the account cannot be written: {error}")))
}

fn binding(external: &ExternalAccount) -> Result<ExternalAccountKey, Failure> {
    let key = external.key().map_err(|reason| Failure::of_ours(format!("acme_eab_hmac_file: {reason}")))?;
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}
