//! Runs real `leydend` processes and talks to them as their clients do.
//!
//! Nothing here sleeps for a guessed time: each wait polls a condition and gives up after a bound that only a hang
//! can reach.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long any condition may take before it counts as a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `condition` yields something.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A fresh one, with `name` in its name.
    pub fn new(name: &str) -> TempDir {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("leyden-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        TempDir(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What is left over is only a temporary file.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("bound").port()
}

/// The `leydend` that was built with these tests.
pub fn leydend_path() -> PathBuf {
    program_path("leydend")
}

/// A program of the workspace, beside the test programs' folder.
pub fn program_path(name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(format!("LEYDEN_{}", name.to_uppercase().replace('-', "_"))) {
        return path.into();
    }
    let mut path = std::env::current_exe().expect("a running program has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}

/// An error answer of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// Core Lightning's number.
    pub code: i64,
    /// For people.
    pub message: String,
    /// For programs.
    pub data: Value,
}

/// A daemon and where it lives.
#[derive(Debug)]
pub struct Daemon {
    child: Option<Child>,
    dir: TempDir,
    /// Its name, for logs.
    pub name: String,
    /// The port it listens on.
    pub port: u16,
    flags: Vec<String>,
    /// Its node id, once known.
    pub id: String,
}

impl Daemon {
    /// Starts a fresh daemon on regtest against bitcoind, and waits until it answers.
    pub fn start(name: &str, bitcoind_url: &str, bitcoind_cookie: &Path, extra: &[&str]) -> Daemon {
        let port = free_port();
        let mut flags = vec![
            "--network".to_owned(),
            "regtest".to_owned(),
            "--listen".to_owned(),
            format!("127.0.0.1:{port}"),
            "--bitcoind-url".to_owned(),
            bitcoind_url.to_owned(),
            "--bitcoind-cookie".to_owned(),
            bitcoind_cookie.display().to_string(),
            "--bitcoind-poll-ms".to_owned(),
            "20".to_owned(),
            "--alias".to_owned(),
            name.to_owned(),
            "--log-level".to_owned(),
            std::env::var("LEYDEN_TEST_LOG").unwrap_or_else(|_| "debug".to_owned()),
        ];
        flags.extend(extra.iter().map(|flag| (*flag).to_owned()));
        let mut daemon =
            Daemon { child: None, dir: TempDir::new(name), name: name.to_owned(), port, flags, id: String::new() };
        daemon.spawn();
        daemon.wait_until_up();
        daemon
    }

    /// Starts the process (again), without waiting for it.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the log can be written");
        let child = Command::new(leydend_path())
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("leydend starts");
        self.child = Some(child);
    }

    /// Waits until the daemon answers and has taken in the chain.
    pub fn wait_until_up(&mut self) {
        let info = wait_for(&format!("{} to answer", self.name), || {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().expect("a child can be waited for")
            {
                panic!("{} ended with {status}; its log:\n{}", self.name, self.log_tail());
            }
            self.try_call("getinfo", json!({})).ok().and_then(Result::ok)
        });
        self.id = info["id"].as_str().expect("getinfo has an id").to_owned();
    }

    /// Where its log goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Where its files are.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.path().join("regtest")
    }

    /// Its control socket.
    pub fn socket_path(&self) -> PathBuf {
        self.node_dir().join("lightning-rpc")
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// kill -9, and nothing of it is left.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child can be killed");
            child.wait().expect("a killed child ends");
        }
    }

    /// kill -9, start, wait.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_until_up();
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let killed = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        child.wait().expect("a child can be waited for")
    }

    /// What a second daemon on the same folder says before it ends.
    pub fn second_on_same_folder(&self) -> std::process::Output {
        let mut command = Command::new(leydend_path());
        command.arg("--data-dir").arg(self.dir.path()).args(&self.flags);
        // It must not be refused for the port alone.
        command.arg("--listen").arg(format!("127.0.0.1:{}", free_port()));
        command.stdin(Stdio::null()).output().expect("leydend can be run")
    }

    /// One call on a connection of its own. The outer error is the socket's.
    pub fn try_call(&self, method: &str, params: Value) -> std::io::Result<Result<Value, RpcError>> {
        let mut client = Client::connect(&self.socket_path())?;
        client.send(method, &params)?;
        client.receive().map(|(_, answer)| answer)
    }

    /// One call whose answer is either.
    pub fn call_result(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        match self.try_call(method, params.clone()) {
            Ok(answer) => answer,
            Err(e) => panic!("{} {method} {params}: {e}; log:\n{}", self.name, self.log_tail()),
        }
    }

    /// One call that succeeds.
    pub fn call(&self, method: &str, params: Value) -> Value {
        match self.call_result(method, params.clone()) {
            Ok(value) => value,
            Err(e) => panic!("{} {method} {params}: {e:?}; log:\n{}", self.name, self.log_tail()),
        }
    }

    /// One call that fails.
    pub fn call_error(&self, method: &str, params: Value) -> RpcError {
        match self.call_result(method, params.clone()) {
            Err(e) => e,
            Ok(value) => panic!("{} {method} {params} succeeded: {value}", self.name),
        }
    }

    /// `connect` to another daemon.
    pub fn connect_to(&self, other: &Daemon) {
        self.call("connect", json!({"id": other.id, "host": "127.0.0.1", "port": other.port}));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log_tail());
        }
        self.kill();
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    next_id: u64,
}

impl Client {
    /// Connects.
    pub fn connect(path: &Path) -> std::io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Client { stream, reader, next_id: 1 })
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, method: &str, params: &Value) -> std::io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.stream.write_all(request.to_string().as_bytes())?;
        Ok(id)
    }

    /// Reads the next answer, whichever request it is for.
    pub fn receive(&mut self) -> std::io::Result<(u64, Result<Value, RpcError>)> {
        let mut text = String::new();
        loop {
            let before = text.len();
            if self.reader.read_line(&mut text)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            // An answer ends with an empty line.
            if &text[before..] == "\n" && before > 0 {
                break;
            }
        }
        let mut answer: Value = serde_json::from_str(&text).map_err(std::io::Error::other)?;
        let id = answer["id"].as_u64().unwrap_or(0);
        if answer.get("error").is_some() {
            let error = answer["error"].take();
            return Ok((
                id,
                Err(RpcError {
                    code: error["code"].as_i64().unwrap_or(0),
                    message: error["message"].as_str().unwrap_or("").to_owned(),
                    data: error["data"].clone(),
                }),
            ));
        }
        Ok((id, Ok(answer["result"].take())))
    }

    /// Sends raw bytes, for requests that are wrong.
    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Has the daemon closed the connection?
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.reader.read(&mut byte), Ok(0) | Err(_))
    }
}
