//! Being asked to stop: Ctrl-C, and the SIGTERM that containers get.

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

async fn first(interrupt: &mut Signal, terminate: &mut Signal) -> ExitCode {
    tokio::select! {
        _ = interrupt.recv() => ExitCode::Interrupted,
        _ = terminate.recv() => ExitCode::Terminated,
    }
}
