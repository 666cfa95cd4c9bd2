//! Being stopped: Ctrl-C, the SIGTERM that containers get, and aborts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit_code::ExitCode;

/// Listens for signals from now on, and cancels `token` at the first one.
///
/// The returned task ends then, with the exit code that the signal stands for. Later signals have
/// no effect, so that cleaning up is safe from an impatient second Ctrl-C.
///
/// # Errors
/// If the system refuses.
pub fn listen(token: CancellationToken) -> std::io::Result<tokio::task::JoinHandle<ExitCode>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::spawn(async move {
        let code = first(&mut interrupt, &mut terminate).await;
        token.cancel();
        code
    }))
}

/// Makes an abort end the program with [`ExitCode::Aborted`] instead of a signal.
///
/// For every attempt of a container but the first: rules of AWS Batch for an exit code cannot count, and what aborts
/// once for want of memory may pass, but not what does so again and again.
///
/// # Errors
/// If the system refuses.
pub fn abort_by_exit_code() -> std::io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    let code = i32::from(ExitCode::Aborted as u8);
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, code, always)
        .map(drop)
}

async fn first(interrupt: &mut Signal, terminate: &mut Signal) -> ExitCode {
    tokio::select! {
        _ = interrupt.recv() => ExitCode::Interrupted,
        _ = terminate.recv() => ExitCode::Terminated,
    }
}
