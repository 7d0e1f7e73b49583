//! Which servers of an upstream may be asked at a time: those that are well, else backups, else those of which too little is
//! known. See [`crate::health`] for the laws.

use std::sync::Arc;

use crate::balance::Members;
use crate::health::{HealthPolicy, Standing};
use crate::server::Server;

/// Below this part of the weight, in percent, verdicts are ignored.
const PANIC_PERCENT: u64 = 30;

/// Which servers may be asked for a request.
pub(super) struct Eligible {
    /// Those that are asked first.
    pub(super) first: Members,
    /// Those that are asked if none of the first may be.
    pub(super) then: Members,
    /// Those on trial.
    pub(super) trial: Members,
    pub(super) is_any_unchecked: bool,
}

impl Eligible {
    /// Those of a time. `now_ms` is of the shared clock.
    pub(super) fn of(servers: &[Arc<Server>], health: &HealthPolicy, now_ms: u64) -> Eligible {
        let (mut primary, mut backup) = (Tier::default(), Tier::default());
        let (mut trial, mut is_any_unchecked) = (Members::default(), false);
        for (place, server) in servers.iter().enumerate() {
            let tier = if server.is_backup { &mut backup } else { &mut primary };
            let standing = server.standing(health, now_ms);
            if matches!(standing, Standing::Out | Standing::Draining) {
                continue;
            }
            tier.weight += u64::from(server.weight);
            match standing {
                Standing::Well => {
                    tier.well.add(place);
                    tier.known.add(place);
                    tier.well_weight += u64::from(server.weight);
                }
                Standing::Trial => {
                    trial.add(place);
                    tier.known.add(place);
                }
                Standing::Ill => tier.known.add(place),
                Standing::Unchecked => is_any_unchecked = true,
                _ => {}
            }
        }
        let (first, then) = if primary.is_well() {
            (primary.well, backup.well)
        } else if !backup.well.is_empty() {
            (primary.well.or(backup.well), Members::default())
        } else if !primary.known.is_empty() {
            (primary.known, Members::default())
        } else {
            (backup.known, Members::default())
        };
        Eligible { first, then, trial, is_any_unchecked }
    }
}

/// Servers of one kind, by how they are.
#[derive(Default)]
struct Tier {
    well: Members,
    /// Those that may be asked if verdicts are ignored.
    known: Members,
    well_weight: u64,
    weight: u64,
}

impl Tier {
    fn is_well(&self) -> bool {
        !self.well.is_empty() && self.well_weight * 100 >= self.weight * PANIC_PERCENT
    }
}
