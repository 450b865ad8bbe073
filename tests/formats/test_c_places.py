"""Where the arrays of a C function lie: two that are needed at once never share."""

from hypothesis import given
from hypothesis import strategies as st

from rnnbench.formats.c.places import Room, places_of


def room(elements):
    return Room("float", 4, str(elements), elements)


def place_of(places):
    return {name: n for n, place in enumerate(places) for name in place.rooms}


def test_one_after_the_other_shares_and_what_a_loop_keeps_does_not():
    lines = [
        "    /* d is only named here, and is not needed yet */",
        "    a[0] = in_x[0];",
        "    for (int64_t i = 0; i < 3; ++i) {",
        "        b[i] = a[0];",
        "        b[i] = b[i]",
        "            + c[0];",
        "    }",
        "    d[0] = b[2];",
        "    out_y[0] = d[0];",
    ]
    found = place_of(places_of({n: room(8) for n in "abcd"}, lines))
    assert len({found[n] for n in "abc"}) == 3  # of one loop, which is one statement
    assert found["d"] in (found["a"], found["c"])


def test_what_another_pointer_leads_to_is_needed_to_the_end():
    lines = [
        "    const float *const r = model_fourier(a, w);",
        "    b[0] = 1;",
        "    out_y[0] = r[0] + b[0];",
    ]
    assert len(places_of({"a": room(8), "b": room(8)}, lines)) == 2


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=12
    )
)
def test_no_two_that_are_needed_at_once_share(needed):
    lines = [f"    s{n};" for n in range(20)]
    rooms = {}
    for n, (first, more, size) in enumerate(needed):
        rooms[f"a{n}"] = room(size)
        for at in (first, first + more):
            lines[at] = f"{lines[at]} a{n}"
    found = place_of(places_of(rooms, lines))
    assert found.keys() == rooms.keys()
    for n, (first, more, _) in enumerate(needed):
        for other, (begin, longer, _) in enumerate(needed[:n]):
            if first <= begin + longer and begin <= first + more:
                assert found[f"a{n}"] != found[f"a{other}"]
