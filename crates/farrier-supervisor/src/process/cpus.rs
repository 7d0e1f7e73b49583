//! How many processors this process may use: the affinity mask, cut by the quota of its control group.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// The share of processor time that a control group grants per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of processor time per period.
    pub quota_us: u64,
    /// The period in microseconds.
    pub period_us: NonZeroU32,
}

impl CpuQuota {
    /// The quota in whole processors, rounded up and at least one: 1.5 processors are worth two workers.
    pub fn cpus(self) -> u32 {
        let cpus = self.quota_us.div_ceil(u64::from(self.period_us.get()));
        u32::try_from(cpus.max(1)).unwrap_or(u32::MAX)
    }
}

/// The processors that the scheduler and the control groups allow this process; at least one.
pub fn cpus_allowed() -> u32 {
    let affinity = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count().max(1));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cpus_under(affinity, &groups, Path::new("/sys/fs/cgroup"))
}

/// `cpu.max` of version 2: `max 100000` is no limit, `150000 100000` is 1.5 processors.
pub fn quota_v2(text: &str) -> Option<CpuQuota> {
    let mut words = text.split_ascii_whitespace();
    let quota_us = words.next()?.parse().ok()?;
    let period_us = words.next().map_or(Some(100_000), |word| word.parse().ok())?;
    Some(CpuQuota { quota_us, period_us: NonZeroU32::new(period_us)? })
}

/// `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1: a quota of -1 is no limit.
pub fn quota_v1(quota: &str, period: &str) -> Option<CpuQuota> {
    let quota_us = quota.trim().parse().ok().filter(|&quota_us| quota_us > 0)?;
    Some(CpuQuota { quota_us, period_us: period.trim().parse().ok()? })
}

/// The smallest of the affinity and every quota from the process's own group up to the root of the hierarchy.
fn cpus_under(affinity: u32, groups: &str, root: &Path) -> u32 {
    groups.lines().flat_map(|line| group_quotas(line, root)).map(CpuQuota::cpus).fold(affinity, u32::min)
}

/// The quotas on the way of one line of `/proc/self/cgroup`: `0::/path` (version 2) or `4:cpu,cpuacct:/path`.
fn group_quotas(line: &str, root: &Path) -> Vec<CpuQuota> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    if controllers.is_empty() {
        return on_the_way(root, path, |group| quota_v2(&fs::read_to_string(group.join("cpu.max")).ok()?));
    }
    if !controllers.split(',').any(|controller| controller == "cpu") {
        return Vec::new();
    }
    // The directory is named after the list, with a link for each controller.
    on_the_way(&root.join("cpu"), path, |group| {
        let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
        let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
        quota_v1(&quota, &period)
    })
}

/// Reads the quota at each level: a parent's limit applies to its children. In a container the path may belong to the
/// host and be invisible here. Then the root of the mount is the container's own group, and it is always read.
fn on_the_way(mount: &Path, path: &str, read: impl Fn(&Path) -> Option<CpuQuota>) -> Vec<CpuQuota> {
    let below: PathBuf = mount.join(path.trim_start_matches('/'));
    below.ancestors().take_while(|group| group.starts_with(mount)).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(text: &str) -> Option<u32> {
        quota_v2(text).map(CpuQuota::cpus)
    }

    fn v1(quota: &str, period: &str) -> Option<u32> {
        quota_v1(quota, period).map(CpuQuota::cpus)
    }

    #[test]
    fn a_quota_is_rounded_up_to_whole_processors() {
        assert_eq!(v2("max 100000\n"), None);
        assert_eq!(v2("100000 100000\n"), Some(1));
        assert_eq!(v2("150000 100000\n"), Some(2));
        assert_eq!(v2("5000 100000\n"), Some(1));
        assert_eq!(v2("400000\n"), Some(4));
        assert_eq!(v1("-1\n", "100000\n"), None);
        assert_eq!(v1("250000\n", "100000\n"), Some(3));
    }

    #[test]
    fn a_file_of_another_form_is_no_limit() {
        for text in ["", "\n", "x 100000", "100000 0", "100000 x", "-5 100000"] {
            assert_eq!(v2(text), None, "{text:?}");
        }
        for (quota, period) in [("", ""), ("0", "100000"), ("100000", "0"), ("x", "100000")] {
            assert_eq!(v1(quota, period), None, "{quota:?} {period:?}");
        }
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_counts() {
        let root = std::env::temp_dir().join(format!("farrier-cgroup-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let file = root.join(path);
            fs::create_dir_all(file.parent().expect("has a parent")).expect("made");
            fs::write(file, text).expect("written");
        };
        write("a/cpu.max", "200000 100000");
        write("a/b/cpu.max", "max 100000");
        write("cpu/x/cpu.cfs_quota_us", "300000");
        write("cpu/x/cpu.cfs_period_us", "100000");
        assert_eq!(cpus_under(8, "0::/a/b\n", &root), 2);
        assert_eq!(cpus_under(1, "0::/a/b\n", &root), 1);
        assert_eq!(cpus_under(8, "5:cpu,cpuacct:/x\n4:memory:/x\n", &root), 3);
        assert_eq!(cpus_under(8, "4:memory:/x\n\nnonsense\n", &root), 8);
        // A path of the host's: only the root of the mount is there.
        write("cpu.max", "100000 100000");
        assert_eq!(cpus_under(8, "0::/host/only\n", &root), 1);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn this_process_may_use_a_processor() {
        assert!(cpus_allowed() >= 1);
    }
}
