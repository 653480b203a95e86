//! Days, times and moments.

use super::*;

const REQUEST: &str = "Move lunch on May 18th at 12:30 to tomorrow; it takes 45 minutes.";

fn moves(origin: Value, request: &str) -> World {
    World::origin(origin, json!([{"input": "request"}]), request)
}

#[test]
fn a_day_is_the_same_however_it_is_written() {
    let world = moves(json!({"as": "date"}), REQUEST);
    for good in ["2024-05-18", "18 May 2024", "May 18", "2024-05-16", "tomorrow", "Thursday"] {
        assert!(world.to(good), "{good}");
    }
    for bad in ["2024-05-17", "2024-06-18", "today", "soon", "2024-05-18x"] {
        assert!(!world.to(bad), "{bad}");
    }
}

#[test]
fn every_reading_of_an_argument_must_hold() {
    let both = moves(json!({"as": "date"}), "on 3 April 2024 or on March 4th, 2024");
    let one = moves(json!({"as": "date"}), "on 3 April 2024");
    assert!(both.to("03/04/2024"));
    assert!(!one.to("03/04/2024"));
    assert!(one.to("2024-04-03"));
}

#[test]
fn a_moment_is_a_day_and_a_time_of_the_sources() {
    let world = moves(json!({"as": "datetime"}), REQUEST);
    for good in ["2024-05-18 12:30", "2024-05-18T12:30:00", "2024-05-16 12:30", "2024-05-18 00:00", "2024-05-18 23:59"]
    {
        assert!(world.to(good), "{good}");
    }
    for bad in ["2024-05-18 12:31", "2024-05-19 12:30", "2024-05-18 01:00"] {
        assert!(!world.to(bad), "{bad}");
    }
}

#[test]
fn spans_are_added_to_sources() {
    let sources = json!([{"input": "request"}]);
    let origin = |plus: Value| World::origin(json!({"as": "datetime", "plus": plus}), sources.clone(), REQUEST);
    let hour = origin(json!([{"ms": 3_600_000}]));
    assert!(hour.to("2024-05-18 13:30"));
    assert!(!hour.to("2024-05-18 12:30"), "equality is not among the spans");
    assert!(origin(json!([{"ms": 0}])).to("2024-05-18 12:30"));
    let named = origin(json!([{"source": 0}]));
    assert!(named.to("2024-05-18 13:15") && !named.to("2024-05-18 13:30"));
    let days = World::origin(json!({"as": "date", "plus": [{"ms": 86_400_000}]}), json!([{"const": "2024-02-28"}]), "");
    assert!(days.to("2024-02-29") && !days.to("2024-03-01") && !days.to("2024-02-28"));
    let late = World::origin(json!({"as": "time", "plus": [{"ms": 3_600_000}]}), json!([{"const": "23:30"}]), "");
    assert!(late.to("00:30") && !late.to("23:30"));
}

#[test]
fn within_is_not_before_and_not_too_long_after() {
    let world = moves(json!({"as": "datetime", "within_ms": 7_200_000}), REQUEST);
    for good in ["2024-05-18 12:30", "2024-05-18 13:10", "2024-05-18 14:30"] {
        assert!(world.to(good), "{good}");
    }
    for bad in ["2024-05-18 12:29", "2024-05-18 14:31", "2024-05-20 12:40"] {
        assert!(!world.to(bad), "{bad}");
    }
    let days = World::origin(json!({"as": "date", "within_ms": 172_800_000}), json!([{"const": "2024-05-18"}]), "");
    assert!(days.to("2024-05-20") && !days.to("2024-05-21") && !days.to("2024-05-17"));
}

#[test]
fn the_same_day_leaves_the_hour_free() {
    let world = moves(json!({"as": "datetime", "same_day": true}), REQUEST);
    assert!(world.to("2024-05-18 03:07") && !world.to("2024-05-19 12:30"));
}

#[test]
fn offsets_are_part_of_a_moment_where_both_have_one() {
    let zoned = World::origin(json!({"as": "datetime"}), json!([{"const": "2024-05-18T12:30:00+02:00"}]), "");
    for good in ["2024-05-18T12:30:00+02:00", "2024-05-18T10:30:00Z", "2024-05-18 12:30"] {
        assert!(zoned.to(good), "{good}");
    }
    assert!(!zoned.to("2024-05-18T11:30:00Z"));
}

#[test]
fn a_day_and_a_time_put_together_do_not_change_an_offset() {
    let world = |extra: Value, source: &str| {
        let mut origin = json!({"as": "datetime"});
        origin.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        World::origin(origin, json!([{"const": source}, {"input": "request"}]), "on June 1st at 9:00")
    };
    let utc = world(json!({}), "2024-05-15T10:00:00Z");
    for bad in ["2024-05-15T10:00:00+09:00", "2024-05-15T10:00:00-12:00"] {
        assert!(!utc.to(bad), "{bad}");
    }
    for good in ["2024-05-15T10:00:00Z", "2024-05-15T19:00:00+09:00", "2024-05-15 10:00", "2024-06-01T09:00:00+09:00"] {
        assert!(utc.to(good), "{good}");
    }
    let midnight = world(json!({}), "2024-05-15T00:00:00Z");
    assert!(midnight.to("2024-05-15T00:00:00Z") && !midnight.to("2024-05-15T00:00:00+09:00"));
    let plus = world(json!({"plus": [{"ms": 3_600_000}]}), "2024-05-15T10:00:00Z");
    assert!(plus.to("2024-05-15T11:00:00Z") && !plus.to("2024-05-15T11:00:00+09:00"));
    let within = world(json!({"within_ms": 3_600_000}), "2024-05-15T10:00:00Z");
    assert!(within.to("2024-05-15T10:30:00Z") && within.to("2024-05-15T19:30:00+09:00"));
    assert!(!within.to("2024-05-15T10:00:00+09:00") && !within.to("2024-05-15T10:30:00+09:00"));
}

#[test]
fn what_a_result_says_is_today() {
    let rules = json!([{"id": "r", "action": "act", "origins": [{"arg": "to", "as": "date", "sources": [0]}]}]);
    let today = json!({"result": {"action": "today"}});
    let profile = json!({"sources": [{"input": "request"}], "rules": rules, "today": today});
    let mut world = World::new(&profile, "do it tomorrow");
    assert!(!world.to("2024-05-16") && !world.to("tomorrow"), "nobody said which day it is");
    world.report("today", &json!("2030-01-31"));
    assert!(world.to("2030-02-01") && world.to("tomorrow") && !world.to("2024-05-16"));
    world.report("today", &json!("2030-02-01"));
    assert!(world.to("2030-02-02"));
    let given = json!({"sources": [{"input": "request"}], "rules": rules, "today": {"input": "note"}});
    assert!(!World::new(&given, "do it tomorrow").to("2024-05-16"), "the input says no day");
}

#[test]
fn moments_of_results_offer_their_days() {
    let sources = json!([result("calendar", "start_time", json!([]))]);
    let mut world = World::origin(json!({"as": "date"}), sources.clone(), "");
    world.report("calendar", &json!([{"start_time": "2024-05-15 10:00"}]));
    assert!(world.to("2024-05-15") && !world.to("2024-05-16"));
    let mut world = World::origin(json!({"as": "datetime", "plus": [{"ms": 3_600_000}]}), sources, "");
    world.report("calendar", &json!([{"start_time": "2024-05-15 10:00"}]));
    assert!(world.to("2024-05-15 11:00") && !world.to("2024-05-15 10:00"));
}

#[test]
fn only_days_and_times_have_spans() {
    for origin in [
        json!({"as": "email", "same_day": true}),
        json!({"as": "time", "same_day": true}),
        json!({"as": "id", "plus": [{"ms": 1}]}),
        json!({"as": "date", "within_ms": -1}),
    ] {
        let mut origin = origin;
        origin["arg"] = json!("to");
        origin["sources"] = json!([0]);
        let profile =
            json!({"sources": [{"input": "request"}], "rules": [{"id": "r", "action": "act", "origins": [origin]}]});
        assert!(read(&profile).is_err(), "{profile}");
    }
}

#[test]
fn within_counts_from_the_moment_and_not_from_its_day() {
    let within = |request: &str| {
        World::origin(json!({"as": "datetime", "within_ms": 43_200_000}), json!([{"input": "request"}]), request)
    };
    let moment = within("not before 2024-05-15 10:00");
    assert!(moment.to("2024-05-15 10:00") && moment.to("2024-05-15 21:59"));
    assert!(!moment.to("2024-05-15 05:00") && !moment.to("2024-05-15 22:30"));
    let day = within("on 2024-05-15");
    assert!(day.to("2024-05-15 05:00") && !day.to("2024-05-15 12:30"));
}
