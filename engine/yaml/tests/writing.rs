//! JSON in, text out; the texts were recorded from `sigs.k8s.io/yaml`.

use expect_test::{Expect, expect};
use fixpoint_yaml::{join, to_string};
use serde_json::{Value, json};

fn check(value: Value, expected: Expect) {
    expected.assert_eq(&to_string(&value));
}

#[test]
fn collections() {
    check(
        json!({"b": {"d": [], "c": {}}, "a": [[1, [2]], {"x": 1, "y": [true]}, null], "a10": 1, "a9": 2}),
        expect![[r#"
            a:
            - - 1
              - - 2
            - x: 1
              "y":
              - true
            - null
            a9: 2
            a10: 1
            b:
              c: {}
              d: []
        "#]],
    );
    check(
        json!([]),
        expect![[r#"
        []
    "#]],
    );
    check(
        json!("x\ny\n"),
        expect![[r#"
        |
          x
          y
    "#]],
    );
}

#[test]
fn quoting() {
    check(
        json!([
            "",
            "yes",
            "on",
            "~",
            "null",
            "1",
            "1.5",
            "0x1f",
            "1e3",
            "2001-01-01",
            "10:30",
            "1_0",
            "<<",
            "=",
            "a: b",
            "a:b",
            "a #b",
            "a#b",
            "#a",
            "- a",
            "-a",
            "?",
            "? a",
            "@a",
            "`a",
            "%a",
            "a'b",
            "'a",
            "\"a",
            "a\\b",
            " a",
            "a ",
            "---",
            "--- a",
            "...",
            "é",
            "a\tb",
            "\u{1F600}"
        ]),
        expect![[r#"
            - ""
            - "yes"
            - "on"
            - "~"
            - "null"
            - "1"
            - "1.5"
            - "0x1f"
            - "1e3"
            - "2001-01-01"
            - "10:30"
            - "1_0"
            - <<
            - =
            - 'a: b'
            - a:b
            - 'a #b'
            - a#b
            - '#a'
            - '- a'
            - -a
            - '?'
            - '? a'
            - '@a'
            - '`a'
            - '%a'
            - a'b
            - '''a'
            - '"a'
            - a\b
            - ' a'
            - 'a '
            - '---'
            - '--- a'
            - '...'
            - é
            - "a\tb"
            - "\U0001F600"
        "#]],
    );
}

#[test]
fn lines() {
    check(
        json!({"clip": "a\nb\n", "strip": "a\nb", "keep": "a\n\n", "lead": "  a\nb", "tab": "a\tb\n",
            "spaces": "a \nb\n", "blank": "\n", "inner": "a\n\n  b\n", "trailing": "a\nb "}),
        expect![[r#"
            blank: |2+

            clip: |
              a
              b
            inner: |
              a

                b
            keep: |+
              a

            lead: |2-
                a
              b
            spaces: "a \nb\n"
            strip: |-
              a
              b
            tab: "a\tb\n"
            trailing: "a\nb "
        "#]],
    );
}

#[test]
fn folding() {
    let words = "word ".repeat(30);
    let words = words.trim_end();
    check(
        json!({"plain": words, "single": format!("# {words}"), "double": format!("{words}\t"), "long": "x".repeat(100)}),
        expect![[r##"
            double: "word word word word word word word word word word word word word word word
              word word word word word word word word word word word word word word word\t"
            long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
            plain: word word word word word word word word word word word word word word word
              word word word word word word word word word word word word word word word
            single: '# word word word word word word word word word word word word word word word
              word word word word word word word word word word word word word word word'
        "##]],
    );
}

#[test]
fn numbers() {
    check(
        json!([
            0,
            -1,
            18_446_744_073_709_551_615_u64,
            1.5,
            100_000.5,
            1_500_000.5,
            1e6,
            1e21,
            0.0001,
            0.000_01
        ]),
        expect![[r#"
            - 0
            - -1
            - 18446744073709551615
            - 1.5
            - 100000.5
            - 1.5000005e+06
            - 1000000
            - 1e+21
            - 0.0001
            - 1e-05
        "#]],
    );
}

#[test]
fn keys() {
    let long = "k".repeat(129);
    check(
        json!({"": 1, "true": 2, "a: b": 3, "two\nlines": 4, "<<": 5, (long): [6]}),
        expect![[r#"
            "": 1
            "<<": 5
            'a: b': 3
            ? kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
            : - 6
            "true": 2
            ? |-
              two
              lines
            : 4
        "#]],
    );
}

#[test]
fn streams() {
    expect![[r#"
        a: 1
        ---
        b: 2
    "#]]
    .assert_eq(&join(&[json!({"a": 1}), json!({"b": 2})]));
    assert_eq!(join(&[]), "");
}
