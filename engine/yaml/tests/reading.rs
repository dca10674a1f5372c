//! Text in, JSON or the error out.

use expect_test::{Expect, expect};
use fixpoint_base::{Classified, Limits};
use fixpoint_yaml::{Dialect, parse, parse_as};

fn check(text: &str, expected: Expect) {
    check_within(&Limits::default(), text, expected);
}

fn check_within(limits: &Limits, text: &str, expected: Expect) {
    let shown = match parse(text.as_bytes(), limits) {
        Ok(values) => values.iter().map(|value| format!("{value}\n")).collect(),
        Err(err) => format!("error: {err} ({:?})\n", err.class()),
    };
    expected.assert_eq(&shown);
}

#[test]
fn documents() {
    check(
        "a: 1\n---\n# nothing\n---\nb: 2\n...\n---\n- c\n---\n",
        expect![[r#"
            {"a":1}
            {"b":2}
            ["c"]
        "#]],
    );
    check("", expect![""]);
    check("null\n", expect![""]);
    check(
        "\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n",
        expect![[r#"
        {"a":1,"b":"x\ny\n"}
    "#]],
    );
    check(
        r#"{"a": [1, 2.50, "x\u00e9", null, 1E3]}"#,
        expect![[r#"
        {"a":[1,2.5,"xé",null,1000]}
    "#]],
    );
}

#[test]
fn scalars() {
    check(
        "a: yes\nb: 'yes'\nc: !!str yes\nd: 0777\ne: 1.0\nf: 1e400\ng: 2001-12-14\nh: !!int '3'\n\
         i: !!binary aGk=\nj: !custom 12\nk: 12345678901234567890\nl: |-\n  12\nm:\nn: -0.0\n",
        expect![[r#"
            {"a":true,"b":"yes","c":"yes","d":511,"e":1,"f":"1e400","false":0,"g":"2001-12-14","h":3,"i":"hi","j":"12","k":12345678901234567890,"l":"12","m":null}
        "#]],
    );
    check(
        "a: .inf\n",
        expect![[r#"
        error: line 1, column 4: infinity and not-a-number have no JSON form (User)
    "#]],
    );
    check(
        "a: !!int x\n",
        expect![[r#"
        error: line 1, column 10: the value is tagged !!int but reads as !!str (User)
    "#]],
    );
    check(
        "a: !!binary '?'\n",
        expect![[r#"
        error: line 1, column 13: the value is tagged !!binary but is not base64 (User)
    "#]],
    );
}

#[test]
fn a_text_that_ends_within_a_block_has_no_last_line_break() {
    check(
        "a: |\n  x",
        expect![[r#"
        {"a":"x"}
    "#]],
    );
    check(
        "a: |\n  x\n",
        expect![[r#"
        {"a":"x\n"}
    "#]],
    );
}

#[test]
fn keys() {
    check(
        "1: a\ntrue: b\n0x10: c\n1.5: d\n'': e\n",
        expect![[r#"
        {"":"e","1":"a","1.5":"d","16":"c","true":"b"}
    "#]],
    );
    check(
        "a: 1\nb: 2\na: 3\n",
        expect![[r#"
        error: line 3, column 1: key "a" is there twice (User)
    "#]],
    );
    check(
        "1: a\n'1': b\n",
        expect![[r#"
        error: line 2, column 1: key "1" is there twice (User)
    "#]],
    );
    check(
        "~: a\n",
        expect![[r#"
        error: line 1, column 1: a key is null (User)
    "#]],
    );
    check(
        "[a]: b\n",
        expect![[r#"
        error: line 1, column 1: a key is a list or a mapping (User)
    "#]],
    );
}

#[test]
fn aliases_and_merges() {
    check(
        "base: &base {a: 1, b: 2}\nuse:\n  b: 3\n  <<: *base\nlist: [*base, *base]\n",
        expect![[r#"
            {"base":{"a":1,"b":2},"list":[{"a":1,"b":2},{"a":1,"b":2}],"use":{"a":1,"b":3}}
        "#]],
    );
    check(
        "x: &x {a: 1, b: 1}\ny: &y {a: 2, c: 2}\nz: {<<: [*x, *y]}\n",
        expect![[r#"
            {"true":{"a":2,"c":2},"x":{"a":1,"b":1},"z":{"a":1,"b":1,"c":2}}
        "#]],
    );
    check(
        "k: &k key\n*k : v\n",
        expect![[r#"
        {"k":"key","key":"v"}
    "#]],
    );
    check(
        "a: {'<<': 1}\n",
        expect![[r#"
        {"a":{"<<":1}}
    "#]],
    );
    check(
        "a: {<<: 1}\n",
        expect![[r#"
        error: line 1, column 9: << takes a mapping or a list of mappings (User)
    "#]],
    );
    check(
        "a: &a [*a]\n",
        expect![[r#"
        error: line 1, column 8: an alias stands within what it names (User)
    "#]],
    );
    check(
        "a: *nothing\n",
        expect![[r#"
        error: line 1, column 4: while parsing node, found unknown anchor (User)
    "#]],
    );
}

#[test]
fn broken_text() {
    check(
        "a: b: c\n",
        expect![[r#"
        error: line 1, column 5: mapping values are not allowed in this context (User)
    "#]],
    );
    check(
        "a:\n\t- b\n",
        expect![[r#"
            error: line 2, column 2: tabs disallowed within this context (block indentation) (User)
        "#]],
    );
    check(
        "a: [1\n",
        expect![[r#"
            error: line 1, column 4: unclosed bracket '[' (User)
        "#]],
    );
    let err = parse(b"a: 1\nb: \xff\n", &Limits::default()).unwrap_err();
    expect!["line 2, column 4: the text is not UTF-8"].assert_eq(&err.to_string());
}

#[test]
fn limits() {
    let limits = Limits { yaml_depth: 3, yaml_nodes: 20, yaml_aliases: 2, ..Limits::default() };
    check_within(
        &limits,
        "[[[1]]]",
        expect![[r#"
        [[[1]]]
    "#]],
    );
    check_within(
        &limits,
        "[[[[1]]]]",
        expect![[r#"
        error: line 1, column 4: the document is nested too deep (the limit is 3) (Refused)
    "#]],
    );
    check_within(
        &limits,
        "a: &a [[1]]\nb: [[*a]]\n",
        expect![[r#"
            error: line 2, column 6: the document is nested too deep (the limit is 3) (Refused)
        "#]],
    );
    check_within(
        &limits,
        "a: &a 1\nb: [*a, *a, *a]\n",
        expect![[r#"
        error: line 2, column 13: too many aliases (the limit is 2) (Refused)
    "#]],
    );
    check_within(
        &limits,
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]",
        expect![[r#"
            error: line 1, column 69: the document has too many values (the limit is 20) (Refused)
        "#]],
    );
    let limits = Limits { yaml_documents: 1, manifest_bytes: 20, ..Limits::default() };
    check_within(
        &limits,
        "a: 1\n---\nb: 1\n",
        expect![[r#"
        error: line 2, column 1: too many documents (the limit is 1) (Refused)
    "#]],
    );
    check_within(
        &limits,
        "a: 012345678901234567890",
        expect![[r#"
        error: line 1, column 1: the text has too many bytes (the limit is 20) (Refused)
    "#]],
    );
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for at in 1..12 {
        let below = vec![format!("*a{}", at - 1); 9].join(", ");
        bomb.push_str(&format!("a{at}: &a{at} [{below}]\n"));
    }
    let err = parse(bomb.as_bytes(), &Limits::default()).unwrap_err();
    assert!(err.message.starts_with("the document has too many values"), "{err}");
}

#[test]
fn deep_nesting_never_overflows_the_stack() {
    for open in ["[", "{a: ", "- ", "? ", "[{a: "] {
        let text = open.repeat(100_000);
        assert!(parse(text.as_bytes(), &Limits::default()).is_err());
        assert!(parse(text.as_bytes(), &Limits::off()).is_err());
    }
}

#[test]
fn kustomize_reads_words_as_text_and_dates_as_times() {
    let text = b"a: yes\nb: true\nc: 2001-12-14\nd: 0777\nno: 1\n";
    let values = parse_as(text, Dialect::Kustomize, &Limits::default()).unwrap();
    let text =
        b"metadata:\n  annotations: {a: 1, b: true, c: 2001-12-14, d: 0777}\n  labels: {a: 1}\n";
    let annotated = parse_as(text, Dialect::Kustomize, &Limits::default()).unwrap();
    expect![[r#"{"metadata":{"annotations":{"a":"1","b":"true","c":"2001-12-14","d":"0777"},"labels":{"a":1}}}"#]]
        .assert_eq(&annotated[0].to_string());
    expect![[r#"{"a":"yes","b":true,"c":"2001-12-14T00:00:00Z","d":511,"no":1}"#]]
        .assert_eq(&values[0].to_string());
}
