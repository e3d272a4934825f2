use super::*;

fn shell(script: &str) -> (Process, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new("/bin/sh").args(["-c", script]);
    (Process::spawn("shell", &launch, dir.path()).unwrap(), dir)
}

fn is_alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_dropped_process_is_gone_even_when_stopped() {
    let (process, _dir) = shell("exec sleep 600");
    let pid = process.pid();
    process.stop().unwrap();
    assert!(is_alive(pid));
    drop(process);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_process_outlives_the_thread_that_asked_for_it() {
    let (process, _dir) = thread::spawn(|| shell("exec sleep 600")).join().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(process.exit_status().is_none());
}

#[tokio::test]
async fn waiting_tells_the_end_of_the_log_when_the_process_ends() {
    let (process, _dir) = shell("echo no such flag; exit 3");
    let error = wait_for("a port", Duration::from_secs(20), &[&process], async || {
        Ok(None::<()>)
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("ended (exit status: 3) while waiting for a port"),
        "{error}"
    );
    assert!(error.contains("no such flag"), "{error}");
}

#[test]
fn ports_are_given_out_once() {
    let ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
    let distinct: std::collections::HashSet<_> = ports.iter().collect();
    assert_eq!(distinct.len(), ports.len());
}

/// Runs this test again in a process of its own, which starts a child and is then killed.
#[tokio::test]
async fn a_child_dies_with_a_killed_parent() {
    const CHILD_PID_FILE: &str = "SANCHO_E2E_CHILD_PID_FILE";
    if let Some(file) = std::env::var_os(CHILD_PID_FILE) {
        let (child, _dir) = shell("exec sleep 600");
        fs::write(file, child.pid().to_string()).unwrap();
        thread::sleep(Duration::from_secs(600));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::tests::a_child_dies_with_a_killed_parent"])
        .env(CHILD_PID_FILE, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let written = async || {
        Ok(fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.parse::<i32>().ok()))
    };
    let pid = wait_for("the child to start", Duration::from_secs(30), &[], written)
        .await
        .unwrap();
    assert!(is_alive(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let gone = async || Ok((!is_alive(pid)).then_some(()));
    wait_for("the child to go", Duration::from_secs(30), &[], gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_process_that_turns_in_a_circle_uses_time_and_one_that_waits_does_not() {
    let (busy, _busy_dir) = shell("while :; do :; done");
    let (waiting, _waiting_dir) = shell("exec sleep 600");
    wait_for(
        "a second of work",
        Duration::from_secs(60),
        &[&busy],
        async || Ok((busy.cpu_time()? >= Duration::from_secs(1)).then_some(())),
    )
    .await
    .unwrap();
    assert!(waiting.cpu_time().unwrap() < Duration::from_millis(500));
}

#[test]
fn a_name_with_parentheses_and_blanks_does_not_shift_the_processor_time() {
    let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194304 93 0 0 0 120 3 0 0 20 0 1 0 5 6 7";
    assert_eq!(cpu_time(stat), Some(Duration::from_millis(1230)));
    assert_eq!(cpu_time("7 (a) S 1"), None);
}
