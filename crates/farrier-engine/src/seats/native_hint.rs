//! Describes threads in calls for the log, from the kernel's view: the only source while the interpreter is not
//! available.

use std::fmt::Write;

use super::shared::Shared;
use farrier_scheduler::Doing;

/// One line for each seat inside a call: its request where that is known, its age, and what its thread does.
pub(crate) fn of_calls(shared: &Shared) -> String {
    let now_ns = shared.clock.now_ns();
    let calls: Vec<(usize, i32, u64)> = {
        let scheduler = shared.scheduler();
        scheduler.calls().map(|(seat, call)| (seat, shared.threads.id(seat), call.started_ns)).collect()
    };
    let records = shared.overdue.as_ref().map(|overdue| overdue.records()).unwrap_or_default();
    let mut text = String::from("calls that run:\n");
    for (id, thread_id, started_ns) in calls {
        let named = records.iter().find(|record| record.thread_id == thread_id).and_then(|record| record.running());
        let (request, started_ns) = named.unwrap_or_else(|| ("a request".to_owned(), started_ns));
        let age = now_ns.saturating_sub(started_ns) as f64 / 1e9;
        let _ = writeln!(text, "  seat {id}: {request} for {age:.1} s; {}", of_thread(shared, thread_id));
    }
    text
}

/// What one thread does.
pub(crate) fn of_thread(shared: &Shared, thread_id: i32) -> String {
    let doing = shared.interpreter_lock().doing(thread_id);
    let mut text = match doing {
        Doing::Running | Doing::Starved => format!("thread {thread_id} runs"),
        Doing::AwaitingInterpreter => return format!("thread {thread_id} waits for the interpreter"),
        Doing::Waiting => format!("thread {thread_id} waits"),
    };
    if doing == Doing::Waiting {
        if let Some(place) = read(thread_id, "wchan").filter(|place| place != "0") {
            let _ = write!(text, " in {place}");
        }
        if let Some(call) = read(thread_id, "syscall").and_then(|call| Some(call.split(' ').next()?.to_owned())) {
            let _ = write!(text, " (system call {call})");
        }
    }
    text
}

fn read(thread_id: i32, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread_id}/{file}")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
