//! The state machine as a drawing: what is in it comes from the one table of transitions, where it stands from here.
//!
//! Stable states are stations of a line from top to bottom. What leads from one to the next is a box with the states that a
//! flow goes through. Ways that are rare are drawn as well, and shown only where the machine is.

use std::fmt::Write;

use crate::state::{Event, ProvisionState as S, TRANSITIONS};

/// The first state of each box, and its column and row.
const PLACES: [(S, usize, usize); 14] = [
    (S::Enroll, 1, 0),
    (S::Verifying, 1, 1),
    (S::Manageable, 1, 2),
    (S::Inspecting, 0, 2),
    (S::Cleaning, 1, 3),
    (S::Available, 1, 4),
    (S::Deleting, 0, 4),
    (S::Adopting, 2, 4),
    (S::Deploying, 1, 5),
    (S::Active, 1, 6),
    (S::Rescuing, 1, 7),
    (S::Unrescuing, 0, 7),
    (S::Servicing, 2, 7),
    (S::Rescue, 1, 8),
];

/// How two boxes are joined.
#[derive(Debug, Clone, Copy)]
enum Road {
    /// By a straight line.
    Straight,
    /// Sideways, as many pixels below the middle of the first box, and then up or down.
    Sideways(i32),
    /// Up or down, and then sideways to as many pixels below the middle of the second box.
    Upright(i32),
}

const ROADS: [(S, S, Road); 17] = [
    (S::Enroll, S::Verifying, Road::Straight),
    (S::Verifying, S::Manageable, Road::Straight),
    (S::Manageable, S::Inspecting, Road::Straight),
    (S::Manageable, S::Cleaning, Road::Straight),
    (S::Cleaning, S::Available, Road::Straight),
    (S::Available, S::Deploying, Road::Straight),
    (S::Deploying, S::Active, Road::Straight),
    (S::Active, S::Rescuing, Road::Straight),
    (S::Rescuing, S::Rescue, Road::Straight),
    (S::Manageable, S::Adopting, Road::Sideways(0)),
    (S::Adopting, S::Active, Road::Upright(-7)),
    (S::Active, S::Servicing, Road::Sideways(7)),
    (S::Active, S::Deleting, Road::Sideways(-7)),
    (S::Deleting, S::Cleaning, Road::Upright(0)),
    (S::Rescue, S::Unrescuing, Road::Sideways(0)),
    (S::Unrescuing, S::Active, Road::Upright(7)),
    (S::Rescuing, S::Unrescuing, Road::Straight),
];

const BOX_WIDTH: i32 = 112;
const LINE_HEIGHT: i32 = 20;
const PADDING: i32 = 5;
const COLUMN_GAP: i32 = 26;
const ROW_GAP: i32 = 28;
/// How far from the middle of a box a bow ends, where a road may end as well.
const BESIDE_ROADS: i32 = 30;
/// Around everything, so that no stroke is cut.
const MARGIN: i32 = 3;
const COLUMNS: usize = 3;
const ROWS: usize = 9;

/// A box: the states in it, and where it is.
#[derive(Debug)]
struct Place {
    states: Vec<S>,
    left: i32,
    top: i32,
    height: i32,
}

impl Place {
    fn right(&self) -> i32 {
        self.left + BOX_WIDTH
    }

    fn bottom(&self) -> i32 {
        self.top + self.height
    }

    fn middle(&self) -> (i32, i32) {
        (self.left + BOX_WIDTH / 2, self.top + self.height / 2)
    }

    /// The height at which a state is written.
    fn line_of(&self, state: S) -> i32 {
        let number = self.states.iter().position(|one| *one == state).unwrap_or_default();
        self.top + PADDING + number as i32 * LINE_HEIGHT + LINE_HEIGHT / 2
    }

    /// The side that faces `other`, at the height of `y`.
    fn side(&self, other: &Self, y: i32) -> (i32, i32) {
        (if other.left > self.left { self.right() } else { self.left }, y)
    }

    /// The top or the bottom, whichever faces `other`.
    fn end(&self, other: &Self) -> (i32, i32) {
        (self.middle().0, if other.top > self.top { self.bottom() } else { self.top })
    }
}

/// The states of the box that `first` leads: where it waits, where it is held, and where it ends when it fails.
fn states_of(first: S) -> Vec<S> {
    let mut states = vec![first];
    let wait = first.after(Event::Wait);
    let hold = TRANSITIONS.iter().find(|(_, event, to)| *event == Event::Unhold && Some(*to) == wait);
    let failed = first.after(Event::Fail).filter(|state| state.has_failed());
    states.extend(wait.into_iter().chain(hold.map(|(from, _, _)| *from)).chain(failed));
    states
}

fn places() -> Vec<Place> {
    let states: Vec<Vec<S>> = PLACES.iter().map(|(first, _, _)| states_of(*first)).collect();
    let height = |states: &[S]| states.len() as i32 * LINE_HEIGHT + 2 * PADDING;
    let mut rows = [0; ROWS];
    for ((_, _, row), states) in PLACES.iter().zip(&states) {
        rows[*row] = rows[*row].max(height(states));
    }
    PLACES
        .iter()
        .zip(states)
        .map(|((_, column, row), states)| {
            let height = height(&states);
            let above: i32 = rows[..*row].iter().map(|height| height + ROW_GAP).sum();
            Place {
                left: MARGIN + *column as i32 * (BOX_WIDTH + COLUMN_GAP),
                top: MARGIN + above + (rows[*row] - height) / 2,
                height,
                states,
            }
        })
        .collect()
}

/// The corners of a road.
fn corners(road: Road, from: &Place, to: &Place) -> Vec<(i32, i32)> {
    match road {
        Road::Straight if from.left == to.left => vec![from.end(to), to.end(from)],
        Road::Straight => vec![from.side(to, from.middle().1), to.side(from, from.middle().1)],
        Road::Sideways(down) => {
            let start = from.side(to, from.middle().1 + down);
            vec![start, (to.middle().0, start.1), to.end(from)]
        }
        Road::Upright(down) => {
            let end = to.side(from, to.middle().1 + down);
            vec![from.end(to), (from.middle().0, end.1), end]
        }
    }
}

/// A path with round corners.
fn path(corners: &[(i32, i32)]) -> String {
    const RADIUS: i32 = 8;
    let toward = |(x, y): (i32, i32), (to_x, to_y): (i32, i32)| {
        (x + (to_x - x).signum() * RADIUS, y + (to_y - y).signum() * RADIUS)
    };
    let mut text = format!("M{} {}", corners[0].0, corners[0].1);
    for three in corners.windows(3) {
        let (before, after) = (toward(three[1], three[0]), toward(three[1], three[2]));
        let _ = write!(text, " L{} {} Q{} {} {} {}", before.0, before.1, three[1].0, three[1].1, after.0, after.1);
    }
    let end = corners[corners.len() - 1];
    let _ = write!(text, " L{} {}", end.0, end.1);
    text
}

/// A way that has no road: a bow, from the line of one state to that of the other.
fn bow(from: &Place, from_state: S, to: &Place, to_state: S) -> String {
    let (y1, y2) = (from.line_of(from_state), to.line_of(to_state));
    if from.left == to.left {
        let (x, bend) = (from.right(), from.right() + COLUMN_GAP - 6);
        return format!("M{x} {y1} C{bend} {y1} {bend} {y2} {x} {y2}");
    }
    let beside = from.top < to.bottom() && to.top < from.bottom();
    let toward = |place: &Place, other: &Place| place.middle().0 + (other.left - place.left).signum() * BESIDE_ROADS;
    if beside {
        let ((x1, _), (x2, _)) = (from.side(to, y1), to.side(from, y2));
        let middle = i32::midpoint(x1, x2);
        format!("M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")
    } else if to.left == MARGIN + BOX_WIDTH + COLUMN_GAP {
        let ((_, start), (x2, _)) = (from.end(to), to.side(from, y2));
        let x1 = toward(from, to);
        format!("M{x1} {start} Q{x1} {y2} {x2} {y2}")
    } else {
        let ((x1, _), (_, end)) = (from.side(to, y1), to.end(from));
        let x2 = toward(to, from);
        format!("M{x1} {y1} Q{x2} {y1} {x2} {end}")
    }
}

/// The drawing, as SVG to be put into a page: every state is a group with `data-state`, every transition between boxes a
/// path with `data-from` and `data-to`.
pub fn svg() -> String {
    let places = places();
    let of = |state: S| places.iter().find(|place| place.states.contains(&state));
    let road_between = |from: &Place, to: &Place| {
        ROADS.iter().find_map(|(a, b, road)| {
            let (a, b) = (of(*a)?, of(*b)?);
            let corners = corners(*road, a, b);
            if std::ptr::eq(a, from) && std::ptr::eq(b, to) {
                return Some(corners);
            }
            let back = std::ptr::eq(a, to) && std::ptr::eq(b, from);
            back.then(|| corners.into_iter().rev().collect())
        })
    };
    let width = COLUMNS as i32 * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP + 2 * MARGIN;
    let height = places.iter().map(Place::bottom).max().unwrap_or_default() + MARGIN;
    let mut roads = String::new();
    let mut ways = String::new();
    let mut drawn = Vec::new();
    for (from_state, event, to_state) in TRANSITIONS {
        let (Some(from), Some(to)) = (of(*from_state), of(*to_state)) else { continue };
        if std::ptr::eq(from, to) {
            continue;
        }
        let road = road_between(from, to).map(|corners| path(&corners));
        if let Some(road) = &road
            && !drawn.contains(road)
        {
            let _ = write!(roads, r##"<path d="{road}" marker-end="url(#arrow)"/>"##);
            drawn.push(road.clone());
        }
        let path = road.unwrap_or_else(|| bow(from, *from_state, to, *to_state));
        let _ = write!(
            ways,
            r##"<path d="{path}" data-from="{from_state}" data-to="{to_state}" data-event="{event}" marker-end="url(#arrow)"/>"##
        );
    }
    let mut boxes = String::new();
    for place in &places {
        let (left, top) = (place.left, place.top);
        let kind = if place.states[0].is_at_rest() { "station" } else { "flow" };
        let _ = write!(
            boxes,
            r#"<rect class="{kind}" x="{left}" y="{top}" width="{BOX_WIDTH}" height="{}" rx="8"/>"#,
            place.height
        );
        for (number, state) in place.states.iter().enumerate() {
            let y = top + PADDING + number as i32 * LINE_HEIGHT;
            let _ = write!(
                boxes,
                r#"<g class="state" data-state="{state}" data-phase="{}"><rect x="{}" y="{y}" width="{}" height="{LINE_HEIGHT}" rx="5"/><text x="{}" y="{}">{state}</text></g>"#,
                state.phase(),
                left + PADDING,
                BOX_WIDTH - 2 * PADDING,
                place.middle().0,
                y + 14,
            );
        }
    }
    format!(
        r##"<svg class="machine-map" viewBox="0 0 {width} {height}" role="img" aria-labelledby="map-title"><title id="map-title">States of a machine and the ways between them</title><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0.5 L7.5 4 L0 7.5 Z"/></marker></defs><g class="roads">{roads}</g>{boxes}<g class="ways">{ways}</g></svg>"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_every_way_is_in_the_drawing() {
        let svg = svg();
        for (from, event, to) in TRANSITIONS {
            for state in [from, to] {
                let mark = format!("data-state=\"{state}\"");
                assert_eq!(svg.matches(&mark).count(), 1, "{state}");
            }
            let way = format!("data-from=\"{from}\" data-to=\"{to}\" data-event=\"{event}\"");
            let places = places();
            let inside = places.iter().any(|place| place.states.contains(from) && place.states.contains(to));
            assert_eq!(svg.matches(&way).count(), usize::from(!inside), "{from} {event} {to}");
        }
    }

    #[test]
    fn every_road_is_a_way() {
        let places = places();
        let of = |state: S| places.iter().find(|place| place.states.contains(&state)).unwrap();
        for (a, b, _) in ROADS {
            let joins = |from: S, to: S| {
                TRANSITIONS.iter().any(|(f, _, t)| of(from).states.contains(f) && of(to).states.contains(t))
            };
            assert!(joins(a, b) || joins(b, a), "{a} {b}");
        }
    }

    #[test]
    fn no_boxes_overlap() {
        let places = places();
        for (number, a) in places.iter().enumerate() {
            for b in &places[number + 1..] {
                let apart = a.right() <= b.left || b.right() <= a.left || a.bottom() <= b.top || b.bottom() <= a.top;
                assert!(apart, "{:?} {:?}", a.states, b.states);
            }
        }
    }
}
