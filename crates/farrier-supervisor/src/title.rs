//! The process title in `ps` and `top`: overwrites the arguments that the kernel keeps, in place.
//!
//! The arguments lie between two addresses on the stack, which the kernel reports. The environment after them is not
//! touched, so a title is never longer than the command line was.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::OnceLock;

/// The range of the arguments: their first byte and the one after their last.
static AREA: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// Bytes of a thread's name, as the kernel keeps it.
const NAME_BYTES_MAX: usize = 15;

/// Sets the title of this process. If that fails, the title does not change.
///
/// Call it in the main thread, whose name changes as well. Read the arguments before, if they are needed.
pub fn set(title: &str) {
    let title = title.replace('\0', " ");
    let name: String = title.chars().take(NAME_BYTES_MAX).collect();
    if let Ok(name) = CString::new(name) {
        // If the thread's name cannot be set, the old one stays, which does no harm.
        let _ = rustix::thread::set_name(&name);
    }
    if let Some((start, end)) = *AREA.get_or_init(argument_area) {
        let text = fitted(&title, end - start);
        // SAFETY: the kernel keeps this process's arguments between the two addresses, on the writable stack of the
        // main thread. That stack lives as long as the process, and `text` is exactly as long as the range. The
        // interpreter copied the arguments before this module was loaded. The C library only uses the first one, as a
        // string that ends within the range: the last byte stays 0. Only the main thread writes here.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, text.len()) };
    }
}

/// The title, cut to the area and filled up with zeros, the last of which is always there.
fn fitted(title: &str, length: usize) -> Vec<u8> {
    let mut text: Vec<u8> = title.bytes().take(length.saturating_sub(1)).collect();
    text.resize(length, 0);
    text
}

/// Fields 48 and 49 of `/proc/self/stat` (proc(5)).
fn argument_area() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let area = area_in(&stat)?;
    // The bytes there must equal the arguments that the kernel reports; otherwise the numbers mean something else.
    let arguments = std::fs::read("/proc/self/cmdline").ok()?;
    (arguments.len() == area.1 - area.0).then_some(area)
}

fn area_in(stat: &str) -> Option<(usize, usize)> {
    // The program's name is in brackets and may hold anything, brackets and blanks included.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(48 - 3);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_cut_and_filled_to_the_area() {
        assert_eq!(fitted("abc", 5), b"abc\0\0");
        assert_eq!(fitted("abcdef", 4), b"abc\0");
        assert_eq!(fitted("abc", 0), b"");
    }

    #[test]
    fn the_area_is_found_behind_a_name_with_blanks_and_brackets() {
        let stat = |start: u64, end: u64| {
            let before: Vec<String> = (3..48).map(|field: u32| field.to_string()).collect();
            format!("1 (a) b) {} {start} {end} 0 0", before.join(" "))
        };
        assert_eq!(area_in(&stat(4096, 4100)), Some((4096, 4100)));
        assert_eq!(area_in(&stat(0, 0)), None);
        assert_eq!(area_in(&stat(5, 5)), None);
        assert_eq!(area_in("1 (a) S 1"), None);
    }
}
