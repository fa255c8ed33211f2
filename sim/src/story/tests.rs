use super::*;

const LINE: &str = "
title three in a row        # words for people
seed 5
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when bob alice revoke_and_ack 2 before cut
pay one alice carol 10000sat
wait 5s
route two carol alice 20000sat
probe three alice bob 5sat
half four alice carol 1000sat
mine 1
wait 3min
expect paid one
expect paid two
expect failed three
expect failed four
always usable alice bob 1
";

#[test]
fn a_story_is_read_printed_and_told() {
    let story = parse(LINE).expect("it is well formed");
    assert_eq!(parse(&story.to_string()), Ok(story.clone()));
    let outcome = run(&story, Variant::AsWritten);
    assert_eq!(outcome.violations, [], "{}", outcome.log);
    assert_eq!((outcome.payments, outcome.paid), (4, 2));
    assert_eq!(run(&story, Variant::AsWritten), outcome);
}

#[test]
fn a_broken_story_says_where_and_why() {
    for (text, line, part) in [
        ("nodes a b\npay one a c 5sat", 2, "no node is called `c`"),
        ("nodes a b\npay one a b 5", 2, "an amount is like"),
        ("nodes a a", 1, "two nodes are called `a`"),
        ("nodes a b\n\nfly a b", 3, "no line begins with `fly`"),
        ("nodes a b\ncut a b now", 2, "nothing is expected after this"),
        ("nodes a b\nwhen a b revoke_and_ack 0 before cut", 2, "the first message is number 1"),
        ("nodes a b\nwait soon", 2, "a duration is like"),
        ("seed 4", 1, "a story needs a line `nodes NAME"),
    ] {
        let flaw = parse(text).expect_err("it is broken");
        assert_eq!(flaw.line, line, "{flaw}");
        assert!(flaw.reason.contains(part), "{flaw}");
    }
}

#[test]
fn every_crash_of_a_story_is_told_until_there_are_no_more_turns() {
    let story = parse(LINE).expect("it is well formed");
    let mut turn = 0;
    loop {
        let outcome = run(&story, Variant::Crash { turn, point: CrashPoint::AmidEffects });
        assert_eq!(outcome.violations, [], "turn {turn}\n{}", outcome.log);
        if outcome.crash_never_came {
            break;
        }
        turn += 1;
    }
    assert!(turn > 10, "a story has more turns than {turn}");
}

#[test]
fn every_word_of_the_format_is_explained() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulation.md");
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace).collect();
    let missing: Vec<&str> = keywords().into_iter().filter(|word| !quoted.contains(word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_line_of_the_documentation_can_be_read() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulation.md");
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    // What comes behind the stories is about options of the program.
    let stories = text.split("\n## Soaking\n").next().expect("there is text before any heading");
    let lines = stories.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut read = 0;
    for line in lines.filter(|line| !line.starts_with("nodes")) {
        let story = format!("nodes alice bob carol mallory a b\n{line}\n");
        if let Err(flaw) = parse(&story) {
            panic!("{line}: {flaw}");
        }
        read += 1;
    }
    assert!(read > 60, "only {read} lines were found");

    let indented = text.lines().skip_while(|line| !line.starts_with("    # What does Bob earn"));
    let first: Vec<&str> = indented.map_while(|line| line.strip_prefix("    ")).collect();
    let outcome = run(&parse(&first.join("\n")).expect("it is well formed"), Variant::AsWritten);
    assert_eq!((outcome.violations, outcome.paid), (Vec::new(), 1));
}

#[test]
fn every_word_is_known_to_the_reader() {
    // A word that begins a line, alone: whatever is wrong then, it is not the word.
    for word in ["say", "again", "stop", "move", "vanish", "reindex", "invoice", "pay_invoice", "perhaps", "when"] {
        let flaw = parse(&format!("nodes a b\n{word}")).expect_err("more is expected");
        assert!(flaw.reason.contains("is missing at the end"), "{word}: {flaw}");
    }
}
