//! Keeps the configuration of each generation of workers: during a reload, old workers are still forked with theirs.

use std::collections::BTreeMap;

/// The configurations in use, by generation. There is always one.
pub(crate) struct Generations<C> {
    serving: (u64, C),
    /// Those that a reload has read and that do not serve yet.
    coming: BTreeMap<u64, C>,
}

impl<C> Generations<C> {
    /// The first generation, which is number one.
    pub(crate) fn new(config: C) -> Generations<C> {
        Generations { serving: (1, config), coming: BTreeMap::new() }
    }

    /// The configuration of the serving generation.
    pub(crate) fn serving(&self) -> &C {
        &self.serving.1
    }

    /// Stores the configuration of the new generation.
    pub(crate) fn add(&mut self, generation: u64, config: C) {
        self.coming.insert(generation, config);
    }

    /// The configuration of this generation.
    pub(crate) fn of(&self, generation: u64) -> &C {
        self.coming.get(&generation).unwrap_or(&self.serving.1)
    }

    /// This generation serves from now on; no worker of an older one will be forked.
    pub(crate) fn settle(&mut self, generation: u64) {
        if let Some(config) = self.coming.remove(&generation) {
            self.serving = (generation, config);
        }
        self.coming.retain(|&coming, _| coming > generation);
    }

    /// The reload was abandoned: this generation, which served before, keeps serving.
    pub(crate) fn abandon(&mut self, generation: u64) {
        self.coming.retain(|&coming, _| coming <= generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_keeps_its_own_until_it_is_replaced_or_given_up() {
        let mut generations = Generations::new("first");
        generations.add(2, "second");
        assert_eq!((*generations.of(1), *generations.of(2)), ("first", "second"));
        generations.abandon(1);
        assert_eq!(*generations.of(1), "first");
        generations.add(3, "third");
        generations.settle(3);
        assert_eq!(generations.serving, (3, "third"));
        assert!(generations.coming.is_empty());
    }
}
