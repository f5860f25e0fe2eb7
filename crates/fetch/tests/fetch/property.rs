//! Whatever a server does: the right bytes or an error, and nothing else in the store.

use std::sync::Mutex;

use proptest::prelude::*;

use crate::support::{Place, Reply, Server, bytes, wanted};

#[derive(Debug, Clone)]
enum Mood {
    Good,
    Ignorant,
    Cut(usize),
    Status(u16),
    Other,
    Shifted(usize),
    Empty,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        2 => Just(Mood::Good),
        1 => Just(Mood::Ignorant),
        3 => (0_usize..20_000).prop_map(Mood::Cut),
        1 => prop::sample::select(vec![404, 416, 429, 500, 503, 204, 304]).prop_map(Mood::Status),
        1 => Just(Mood::Other),
        1 => (1_usize..100).prop_map(Mood::Shifted),
        1 => Just(Mood::Empty),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_right_bytes_or_an_error(moods in prop::collection::vec(mood(), 1..6), known_size: bool) {
        let body = bytes(20_000, 7);
        let (served, left) = (body.clone(), Mutex::new(moods.clone()));
        let server = Server::start(move |request| {
            let mood = left.lock().expect("moods").pop().unwrap_or(Mood::Good);
            let reply = Reply::file(request, &served, "\"1\"");
            match mood {
                Mood::Good => reply,
                Mood::Ignorant => Reply::ok(served.clone()),
                Mood::Cut(at) => Reply { cut_at: Some(at), ..reply },
                Mood::Status(status) => Reply::status(status),
                Mood::Other => Reply::file(request, &bytes(20_000, 8), "\"1\""),
                Mood::Shifted(by) => Reply { body: reply.body.get(by..).unwrap_or_default().to_vec(), ..reply },
                Mood::Empty => Reply { body: Vec::new(), ..reply },
            }
        });
        let place = Place::new();
        let mut list = [wanted(&server.url("x-1-0.conda"), &body)];
        if !known_size {
            list[0].size = None;
        }
        for _ in 0..3 {
            if let Ok(packages) = place.client().packages(&list, &|_| ()) {
                prop_assert_eq!(std::fs::read(&packages[0].path).expect("a file"), body);
                prop_assert_eq!(place.store("partial"), Vec::<String>::new());
                return Ok(());
            }
            prop_assert_eq!(place.store("sha256"), Vec::<String>::new());
        }
    }
}
