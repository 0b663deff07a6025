//! From an account to sound, with nobody but the origin to give it, and what the commands say when
//! they are used wrongly.

use antiphon_tests::network::Network;
use antiphon_tests::program::{antiphon, antiphon_with_password};
use antiphon_tests::scratch::text;
use antiphon_tests::wav_file::Wav;

#[tokio::test]
async fn somebody_new_hears_a_whole_track_from_the_origin_alone() {
    let network = Network::start("first-play").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let (data, wav) = (
        network.folder().join("data"),
        network.folder().join("a.wav"),
    );
    let cache = text(&network.folder().join("cache"));
    let (data, sink) = (text(&data), format!("wav:{}", wav.display()));

    let login = [
        "login",
        "newcomer",
        "--register",
        "--tracker",
        network.tracker(),
    ];
    let login = antiphon(login.into_iter().chain(["--data", &data]))
        .await
        .unwrap();
    let login = login.success().unwrap();
    assert!(login.stderr.contains("newcomer"), "{}", login.stderr);

    let play = [
        "play", "aurora", "--one", "--json", "--sink", &sink, "--data", &data,
    ];
    let play = play
        .into_iter()
        .chain(["--cache", &cache, "--listen", "127.0.0.1:0"]);
    let played = antiphon(play)
        .await
        .unwrap()
        .success()
        .unwrap()
        .json()
        .unwrap();

    let wav = Wav::read(&wav).unwrap();
    assert_eq!(wav.frames(), piece.rendition.frames);
    assert_eq!(wav.rate, piece.rendition.sample_rate);
    let play = &played[0];
    assert_eq!(play["track"], piece.id());
    assert_eq!(play["failure"], "");
    assert_eq!(play["bytes"]["origin"], piece.rendition.size.0);
    assert_eq!(play["bytes"]["peers"], 0);
    assert_eq!(play["bytes"]["cache"], 0);
}

#[tokio::test]
async fn logging_in_needs_the_right_password_and_says_so() {
    let network = Network::start("login").await.unwrap();
    let data = |name: &str| text(&network.folder().join(name));
    let login = |name, folder, password, register| {
        let words = ["login", name, "--tracker", network.tracker(), "--data"];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        words.push(data(folder));
        if register {
            words.push("--register".to_owned());
        }
        antiphon_with_password(words, password)
    };
    let made = login("ada", "first", "the right words", true)
        .await
        .unwrap();
    made.success().unwrap();
    let wrong = login("ada", "second", "other words", false).await.unwrap();
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("wrong name or password"), "{wrong:?}");
    let unknown = login("bob", "second", "the right words", false)
        .await
        .unwrap();
    assert_eq!((unknown.code, unknown.stderr), (wrong.code, wrong.stderr));
    let taken = login("ada", "second", "other words", true).await.unwrap();
    assert_eq!(
        taken.code,
        Some(1),
        "a name cannot be taken over: {taken:?}"
    );
    let right = login("ada", "second", "the right words", false)
        .await
        .unwrap();
    right.success().unwrap();
}

#[tokio::test]
async fn exit_codes_tell_failure_usage_and_configuration_apart() {
    let network = Network::start("exit-codes").await.unwrap();
    let empty = text(&network.folder().join("empty"));
    let code = async |words: &[&str]| antiphon(words).await.unwrap().code;
    assert_eq!(code(&["play"]).await, Some(2), "a query is missing");
    assert_eq!(code(&["dance"]).await, Some(2), "no such command");
    let no_library = ["tracker", "--data", &empty, "--library", &empty];
    assert_eq!(code(&no_library).await, Some(78), "there is no library");
    let no_fingerprint = ["login", "ada", "--tracker", "127.0.0.1:1", "--data", &empty];
    assert_eq!(code(&no_fingerprint).await, Some(78), "no fingerprint");
    let not_logged_in = ["play", "aurora", "--data", &empty, "--cache", &empty];
    let not_logged_in = antiphon(not_logged_in).await.unwrap();
    assert_eq!(not_logged_in.code, Some(1), "{not_logged_in:?}");
    assert!(
        not_logged_in.stderr.contains("antiphon login"),
        "{not_logged_in:?}"
    );
    let no_node = ["status", "--data", &empty, "--api", "127.0.0.1:1"];
    assert_eq!(code(&no_node).await, Some(1), "no node runs there");
}

#[tokio::test]
async fn what_is_searched_can_be_queued_and_seen_playing() {
    let network = Network::start("queries").await.unwrap();
    let piece = network.library().piece("birch").unwrap();
    let listener = network.listener("ada").await.unwrap();
    let (api, data) = (listener.api_address().unwrap(), text(&listener.data()));
    let ask = async |words: &[&str]| {
        let place = ["--api", &api, "--data", &data, "--json"];
        let words = words.iter().copied().chain(place);
        antiphon(words).await.unwrap().success().unwrap()
    };
    let found = ask(&["search", "birch"]).await.json().unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["track"], piece.id());
    assert_eq!(found[0]["title"], "birch");
    let nothing = ask(&["search", "xylophone"]).await.json().unwrap();
    assert_eq!(nothing, serde_json::json!([]));

    let queue = ["queue", &piece.id(), "--api", &api, "--data", &data];
    antiphon(queue).await.unwrap().success().unwrap();
    listener
        .has_heard(std::time::Duration::from_millis(1))
        .await
        .unwrap();
    let status = ask(&["status"]).await.json().unwrap();
    assert_eq!(status["playing"]["track"], piece.id());
    assert_eq!(status["tracker_connected"], true);
    let queued = ask(&["queue"]).await.json().unwrap();
    assert_eq!(queued["playing"], piece.id());
    listener.holds(&piece).await.unwrap();
    let cache = ask(&["cache"]).await.json().unwrap();
    let bytes = cache["renditions"][0]["bytes"]["origin"].as_u64();
    assert_eq!(bytes, Some(piece.rendition.size.0));
}
