//! A headless Chromium, driven as a person would: by its WebDriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::{PATIENCE, TempDir, wait_for};

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no characters.
pub mod key {
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
    /// End.
    pub const END: char = '\u{e010}';
    /// Home.
    pub const HOME: char = '\u{e011}';
    /// Arrow up.
    pub const UP: char = '\u{e013}';
    /// Arrow down.
    pub const DOWN: char = '\u{e015}';
}

fn program(variable: &str, usual: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| usual.into(), PathBuf::from);
    assert!(
        path.exists(),
        "no {}: run tests/run.sh, which installs it, or `apt-get install chromium chromium-driver`; \
         or name yours in {variable}",
        path.display()
    );
    path
}

/// A browser with one window. It ends when it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

/// Something in the page.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Browser {
    /// Starts one. Each look for an element waits until it is there.
    pub fn start() -> Browser {
        let chromium = program("LEYDEN_CHROMIUM", "/usr/bin/chromium");
        let profile = TempDir::new("browser");
        let mut driver = Command::new(program("LEYDEN_CHROMEDRIVER", "/usr/bin/chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser =
            Browser { driver, port: port.expect("it says where"), session: String::new(), _profile: profile };
        let user_data = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,900",
            &user_data,
        ];
        let wanted = json!({
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"implicit": PATIENCE.as_millis() as u64},
        });
        let made = browser.http("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        made["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser
    }

    /// One exchange; the value of the answer.
    fn try_http(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(2 * PATIENCE))?;
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().map_err(|_| std::io::Error::other(format!("{name}: {value}")))?;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(std::io::Error::other)?;
        Ok(answer["value"].take())
    }

    fn http(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_http(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(answer["error"].is_null(), "{method} {path} {body}: {} {}", answer["error"], answer["message"]);
        answer
    }

    fn ask(&self, method: &str, what: &str, body: Value) -> Value {
        self.http(method, &format!("/session/{}/{what}", self.session), &body)
    }

    fn of(&self, element: &Element, method: &str, what: &str, body: Value) -> Value {
        self.ask(method, &format!("element/{}/{what}", element.0), body)
    }

    /// Opens a file.
    pub fn open(&self, path: &Path) {
        self.ask("POST", "url", json!({"url": format!("file://{}", path.display())}));
    }

    /// The first element that a CSS selector names; waits for it.
    pub fn find(&self, selector: &str) -> Element {
        let found = self.ask("POST", "element", json!({"using": "css selector", "value": selector}));
        Element(found[ELEMENT].as_str().expect("an element").to_owned())
    }

    /// The first element that an XPath expression names; waits for it.
    pub fn find_xpath(&self, path: &str) -> Element {
        let found = self.ask("POST", "element", json!({"using": "xpath", "value": path}));
        Element(found[ELEMENT].as_str().expect("an element").to_owned())
    }

    /// Clicks it with the mouse.
    pub fn click(&self, element: &Element) {
        self.of(element, "POST", "click", json!({}));
    }

    /// Types into it.
    pub fn keys(&self, element: &Element, text: impl ToString) {
        self.of(element, "POST", "value", json!({"text": text.to_string()}));
    }

    /// Empties a field as a person does: all is selected (Ctrl+A), then deleted.
    pub fn clear(&self, element: &Element) {
        self.keys(element, "\u{e009}a\u{e000}\u{e017}");
    }

    /// The text that a person sees of it.
    pub fn text(&self, element: &Element) -> String {
        self.of(element, "GET", "text", json!({})).as_str().expect("text").to_owned()
    }

    /// The text of the first element that a selector names.
    pub fn text_of(&self, selector: &str) -> String {
        self.text(&self.find(selector))
    }

    /// An attribute, or nothing.
    pub fn attribute(&self, element: &Element, name: &str) -> Option<String> {
        self.of(element, "GET", &format!("attribute/{name}"), json!({})).as_str().map(str::to_owned)
    }

    /// What a script returns.
    pub fn script(&self, script: &str) -> Value {
        self.ask("POST", "execute/sync", json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    pub fn wait(&self, what: &str, script: &str) {
        wait_for(what, || (self.script(script) == true).then_some(()));
    }

    /// Pretends that the person prefers a colour scheme: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.ask("POST", "goog/cdp/execute", command);
    }

    /// What the page complained of.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "se/log", json!({"type": "browser"}));
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }

    /// A picture of the window: a PNG file in base64.
    pub fn screenshot(&self) -> String {
        self.ask("GET", "screenshot", json!({})).as_str().expect("text").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may not have come so far; the driver ends in any case.
        let _ = self.try_http("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
