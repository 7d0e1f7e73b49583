//! The account at the authority: made once, kept, and bound to an account there where it wants that.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::settings::{ExternalAccount, Settings};
use crate::state::State;

/// Between two looks at whether the other server has its account.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The address that the authority was given.
    email: Option<String>,
    /// The key, and the account's address.
    credentials: AccountCredentials,
}

/// The account that is kept, or a new one.
///
/// # Arguments
///
/// `anew` makes a new one in any case: the authority has forgotten the old one.
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
            // Another server makes one, which takes a few requests; or it dies, which ends the lock.
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
    let key = hmac_key(&external.hmac_file).map_err(Failure::of_ours)?;
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}

/// The key in a file, in base64 of either alphabet, with padding or without.
fn hmac_key(place: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("acme_eab_hmac_file: {}: {reason}", place.display());
    let text = std::fs::read_to_string(place).map_err(|error| failed(&error))?;
    let text = text.trim().replace('+', "-").replace('/', "_");
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    match GeneralPurpose::new(&URL_SAFE, lenient).decode(text) {
        Ok(key) if key.is_empty() => Err(failed(&"it is empty")),
        Ok(key) => Ok(key),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_binding_may_be_written_in_any_base64() {
        let place = std::env::temp_dir().join(format!("farrier-acme-hmac-{}", std::process::id()));
        for text in ["-_8=", "-_8", "+/8=\n"] {
            std::fs::write(&place, text).expect("written");
            assert_eq!(hmac_key(&place), Ok(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["", "?"] {
            std::fs::write(&place, text).expect("written");
            assert!(hmac_key(&place).expect_err("refused").starts_with("acme_eab_hmac_file: /"));
        }
        std::fs::remove_file(&place).expect("removed");
    }
}
