"""The Fleet page as people see it: a real Airflow, a real Redis, a headless Chromium."""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from bench.micro.page import sample_fleet
from bench.micro.page.sample_fleet import HOSTILE, OLDER, a_member, airflow_members
from bench.micro.page.webserver import Webserver
from fleet import registry
from fleet.bundles import Bundle, OlderTask, VersionInUse
from fleet.ends import MEMORY, End
from fleet.member import CONSUMING, DRAINING, STARTING
from fleet.registry import Registry
from local.servers.redis import Redis
from local.ui.chromium import INSTALLS_WITHIN_S
from tests.support.accessibility import serious_faults
from tests.support.contrast import LEAST, contrast
from tests.support.headless_chromium import headless_chromium

# The folder of the documentation's picture; by default that of the other output.
PICTURES = Path(os.environ.get("FLEET_PICTURES") or Path(__file__).parents[3] / ".local" / "pictures")
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SHOWN_WITHIN_MS = 60_000  # the machine may be busy
LOOKS = [
    pytest.param({}, id="light"),
    pytest.param({"color_scheme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE, "has_touch": True}, id="phone"),
    pytest.param({"viewport": PHONE, "has_touch": True, "color_scheme": "dark"}, id="dark-phone"),
]
A_MINUTE_S, AN_HOUR_S = 60, 3600

# Two runs of apt-get may come first, if Chromium must be installed.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * INSTALLS_WITHIN_S + 300)]

Contexts = Callable[..., BrowserContext]


@dataclass
class Visit:
    """A tab of a user who is signed in, with a record of unwanted events."""

    page: Page
    url: str
    complaints: list[str]
    hosts: set[str | None]  # None: made by the page itself

    def open(self, path: str = "/plugin/fleet") -> Page:
        self.page.goto(self.url + path)
        return self.page

    def look_again(self) -> None:
        """Act as a user who returns to the tab, so that the page reads at once rather than at its next tick."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def shown(self, name: str) -> Any:
        """Return the part of the page with this test id."""
        return self.page.get_by_test_id(name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with headless_chromium(shown_within_ms=SHOWN_WITHIN_MS, untested="the Fleet page") as started:
        yield started


@pytest.fixture(scope="module")
def contexts(browser: Browser, webserver: Webserver) -> Iterator[Contexts]:
    """Make one context for each appearance and user, so that Airflow's own files are loaded once."""
    made: dict[str, BrowserContext] = {}

    def context_of(*, user: str, **look: Any) -> BrowserContext:
        key = json.dumps([user, look])
        if key not in made:
            made[key] = browser.new_context(**look)
            if user:
                made[key].add_cookies([{"name": "_token", "value": webserver.token(user), "url": webserver.url}])
        return made[key]

    yield context_of
    for context in made.values():
        context.close()


@pytest.fixture
def visit(
    request: pytest.FixtureRequest, contexts: Contexts, webserver: Webserver, store: redis.Redis
) -> Iterator[Visit]:
    """Yield a tab on a desktop screen in light mode, unless the test's parameter says otherwise. `store` is empty."""
    wanted = {"viewport": DESK, "color_scheme": "light", "user": "viewer", **getattr(request, "param", {})}
    page = contexts(**wanted).new_page()
    page.set_default_timeout(SHOWN_WITHIN_MS)
    made = Visit(page=page, url=webserver.url, complaints=[], hosts=set())
    page.on("console", lambda said: made.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on("request", lambda asked: made.hosts.add(urlsplit(asked.url).hostname))
    with sample_fleet.kept_alive(store):
        yield made
    page.close()


def figures(visit: Visit, pool: str) -> dict[str, str]:
    """Return the page's figures of a pool, by name."""
    section = visit.shown(f"fleet-pool-{pool}")
    names, values = section.locator("dt").all_inner_texts(), section.locator("dd > span:first-child").all_inner_texts()
    return dict(zip(names, values, strict=True))


def test_the_page_shows_what_the_registry_holds(visit: Visit, store: redis.Redis, webserver: Webserver) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    expect(visit.shown("fleet-verdict")).to_contain_text("Out of sync")
    workers = [m for m in Registry(store).members().members if m.pool == "worker"]
    assert figures(visit, "worker") == {
        "Queued": str(store.llen("default")),
        "Active": str(sum(worker.active for worker in workers)),
        "Consuming": str(sum(worker.state == CONSUMING for worker in workers)),
        "Draining": str(sum(worker.state == DRAINING for worker in workers)),
        "Desired": str(json.loads(store.lindex(registry.decisions_key("worker"), 0) or b"")["desired"]),
    }
    expect(visit.shown("fleet-members").locator("tbody tr")).to_have_count(len(Registry(store).members().members))
    expect(visit.shown("fleet-pool-worker")).to_contain_text("need 13: 10 consuming, 2 draining")
    expect(visit.shown("fleet-pool-worker")).to_contain_text("The forecast expects runs that need 80 more slots at")
    assert visit.complaints == []
    assert visit.hosts - {None} == {urlsplit(webserver.url).hostname}


def test_each_bundle_has_its_version_and_the_tasks_of_older_ones_and_no_report_says_so(
    visit: Visit, store: redis.Redis
) -> None:
    sample_fleet.a_fleet(store)
    older = OlderTask(dag=HOSTILE, run="r", task="t", map_index=-1, version="0" * 64)
    uses = (VersionInUse(version="0" * 64, runs=1, tasks=3), VersionInUse(version="f" * 64, runs=2, tasks=4))
    Registry(store).write_bundles((Bundle(name="dags", version="f" * 64, since=5.0, in_use=uses, older=(older,)),))
    visit.open()
    row = visit.shown("fleet-bundles").locator("tbody tr")
    expect(row).to_have_count(1)
    cells = row.locator("td").all_inner_texts()
    assert (cells[0], cells[3:5]) == ("dags", ["4", "3"])
    assert row.locator("td").nth(1).get_attribute("title") == "f" * 64
    assert cells[5].startswith(f"{HOSTILE}.t of r: 000")
    store.delete(registry.BUNDLES_KEY)
    expect(visit.page.get_by_text("The scheduler has not reported lately")).to_be_visible()
    assert visit.complaints == []


def test_what_tasks_cost_is_shown_by_dag_and_owner_for_a_day_and_a_month_and_sorted(
    visit: Visit, store: redis.Redis
) -> None:
    sample_fleet.report(store, airflow_members(now=Registry(store).now()))
    sample_fleet.write_costs(store, now=Registry(store).now(), dag=HOSTILE)
    visit.open()
    section, dags, owners = (visit.shown(name) for name in ("fleet-costs", "fleet-costs-dags", "fleet-costs-owners"))
    rows = dags.locator("tbody tr")
    expect(rows).to_have_count(4)
    # Half of the 62,500 worker-seconds that tasks bear, and of the 14,400 idle ones: 36,912 s for 400 tasks.
    assert rows.nth(0).locator("td").all_inner_texts() == [
        *(HOSTILE, "platform", "400", "10.25", "1.92", "3.0", "92.3", "$1.19", "48.0 %"),
    ]
    assert owners.locator("tbody tr td:first-child").all_inner_texts() == ["platform", "finance", "data science"]
    expect(section).to_contain_text("$0.00")
    dags.get_by_role("button", name="DAG").click()
    expect(dags.locator("th").nth(0)).to_have_attribute("aria-sort", "ascending")
    assert rows.locator("td:first-child").all_inner_texts()[1:] == ["daily_sales", "refresh_reports", "train_models"]
    dags.get_by_role("button", name="US$").click()
    expect(dags.locator("th", has_text="US$")).to_have_attribute("aria-sort", "descending")
    section.get_by_role("button", name="30 days").click()
    expect(rows.nth(0).locator("td").nth(2)).to_have_text("11,600")
    expect(section.locator("dd").nth(3)).to_contain_text("$0.47")  # yesterday's four hours
    assert visit.page.title() != "injected"
    assert visit.complaints == []


def test_without_a_record_of_costs_the_page_says_so(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.report(store, airflow_members(now=Registry(store).now()))
    visit.open()
    expect(visit.shown("fleet-costs")).to_contain_text("No task ran.")
    assert visit.complaints == []


@pytest.mark.parametrize(("path", "banner"), [("/plugin/fleet", "fleet-verdict"), ("/", "fleet-banner")])
def test_the_banner_changes_and_changes_back(visit: Visit, store: redis.Redis, path: str, banner: str) -> None:
    now = Registry(store).now()
    worker = a_member(1, now=now, active=3)
    sample_fleet.report(store, [*airflow_members(now=now), worker])
    visit.open(path)
    expect(visit.shown(banner)).to_contain_text("n sync")
    sample_fleet.report(store, [*airflow_members(now=now), replace(worker, **OLDER)])
    visit.look_again()
    expect(visit.shown(banner)).to_contain_text("ut of sync")
    expect(visit.shown(banner)).to_contain_text("with 3 running tasks: 1 worker (image version, DAGs)")
    sample_fleet.report(store, [*airflow_members(now=Registry(store).now()), worker])
    visit.look_again()
    expect(visit.shown(banner)).to_contain_text("All 6 processes run 1.4.0")
    assert visit.complaints == []


def test_a_hostile_name_is_text_wherever_it_comes_from(visit: Visit, store: redis.Redis) -> None:
    now = Registry(store).now()
    hostile = a_member(1, now=now, id=HOSTILE, image_version=HOSTILE)
    sample_fleet.report(store, [*airflow_members(now=now), hostile, a_member(2, now=now, pool=HOSTILE)])
    store.zadd(registry.MEMBERS_KEY, {HOSTILE + "2": now})
    decision = {"t": now, "reason": HOSTILE, "problems": [HOSTILE]}
    Registry(store).record_decision("worker", decision)
    visit.open()
    expect(visit.shown("fleet-malformed")).to_contain_text(HOSTILE + "2")
    expect(visit.shown("fleet-members")).to_contain_text(HOSTILE)
    expect(visit.shown("fleet-pool-worker").get_by_text(HOSTILE)).to_have_count(2)
    assert visit.page.locator("img[src='x']").count() == 0
    assert visit.page.title() != "injected"
    assert visit.complaints == []


@pytest.mark.parametrize("visit", LOOKS, indirect=True)
def test_the_page_is_accessible(visit: Visit, store: redis.Redis, request: pytest.FixtureRequest) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    expect(visit.shown("fleet-pool-worker").locator("svg path")).to_have_count(5)
    assert serious_faults(visit.page, "[data-testid=fleet-page]") == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page = visit.shown("fleet-page")
    marks: list[tuple[Locator, str]] = [
        (page.locator("svg path[fill=none]"), "stroke"),
        (page.locator("dt").locator("xpath=..").filter(has_text="Active"), "borderLeftColor"),
        (page.get_by_role("img", name="worker").locator("i > b"), "backgroundColor"),
        (page.get_by_test_id("fleet-legend").locator("div > div"), "backgroundColor"),
    ]
    measured = [contrast(mark, name) for mark, name in marks]
    assert min(measured) >= LEAST, measured
    take_picture(visit, f"whole-page-{request.node.callspec.id}.png")


def test_an_ordinary_scale_out_says_how_many_workers_start_and_alarms_no_one(visit: Visit, store: redis.Redis) -> None:
    fleet = Registry(store)
    now = fleet.now()
    workers = [a_member(1, now=now, active=16), a_member(2, now=now, state=STARTING, active=0, started_at=now - 3)]
    sample_fleet.report(store, [*airflow_members(now=now), *workers])
    fleet.write_bundles(())
    sample_fleet.write_costs(store, now=now)
    sample_fleet.queue(store, "default", 40)
    sample_fleet.write_past(store, "heavy", now=now, workers=1, slots=2)
    sample_fleet.decide(fleet, "heavy", t=now, was=0, desired=0, queued=0, active=0, consuming=0, draining=0)
    sample_fleet.decide(fleet, "worker", t=now - 11, was=1, desired=4, queued=40, active=16, consuming=1, draining=0)
    silent = {f"{task}/worker": now - 9 for task in ("a", "b")}
    check = {"status": "unknown", "looked_at": now, "silent": silent, "is_starting_only": True}
    store.set(registry.VERSIONS_KEY, json.dumps(check))
    visit.open()
    expect(visit.shown("fleet-verdict")).to_contain_text(re.compile(r"2 workers are starting \(\d+ s\)"))
    expect(visit.shown("fleet-verdict")).to_contain_text("All 7 processes that report run 1.4.0.")
    expect(visit.shown("fleet-coming-worker")).to_have_text(re.compile(r"3 workers are starting \(\d+ s\)\."))
    expect(visit.shown("fleet-coming-heavy")).to_have_count(0)
    page = visit.shown("fleet-page")
    notices = page.locator("[data-status]")
    shown = [(each.get_attribute("data-status"), each.inner_text()) for each in notices.all()]
    assert {status for status, _ in shown} == {"info"}, shown
    assert "nknown" not in page.inner_text()
    take_picture(visit, "scale-out.png")
    assert visit.complaints == []


def times(visit: Visit) -> list[int]:
    """Return the labels of the first plot's time axis, in minutes of the day."""
    labels = visit.shown("fleet-pool-worker").locator("svg text", has_text=":").all_text_contents()
    return [60 * int(label[:2]) + int(label[3:]) for label in labels]


@pytest.mark.parametrize("visit", LOOKS[::2], indirect=True)
def test_a_plot_shows_the_chosen_time_with_at_least_four_ticks(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    pool = visit.shown("fleet-pool-worker")
    expect(pool.locator("svg path")).to_have_count(5)
    # A day has 1,440 minutes: the axis may pass midnight. A quarter of the range may be forecast.
    for name, minutes in (("15 min", 15), ("1 h", 60), ("6 h", 360), ("Fit", 360)):
        visit.page.get_by_role("group", name="Time range of the plots").get_by_role("button", name=name).click()
        expect(visit.page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
        found = times(visit)
        assert len(found) >= 4
        assert minutes / 2 <= (found[-1] - found[0]) % 1440 <= minutes * 1.25
        labels = [label.bounding_box() for label in pool.locator("svg text", has_text=":").all()]
        edges = [(box["x"], box["x"] + box["width"]) for box in labels if box]
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(edges))
    assert visit.complaints == []


def test_a_pool_that_has_just_begun_has_four_ticks_as_well(visit: Visit, store: redis.Redis) -> None:
    now = Registry(store).now()
    sample_fleet.report(store, [*airflow_members(now=now), a_member(1, now=now)])
    sample_fleet.decide(Registry(store), "worker", t=now, was=1, desired=1, queued=0, active=1, consuming=1, draining=0)
    visit.open()
    expect(visit.shown("fleet-pool-worker").locator("svg text", has_text=":").first).to_be_visible()
    assert len(times(visit)) >= 4


def test_each_table_is_sorted_by_the_column_that_is_clicked(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    members = visit.shown("fleet-members")
    expect(members.locator("tbody tr")).to_have_count(21)

    def column(name: str, nth: int, direction: str) -> list[str]:
        members.locator("th").get_by_role("button", name=name).click()
        expect(members.locator("th", has_text=name)).to_have_attribute("aria-sort", direction)
        cells: list[str] = members.locator(f"tbody tr td:nth-child({nth})").all_inner_texts()
        return cells

    def busy(cells: list[str]) -> list[int]:
        return [int(cell.split(" ")[0]) for cell in cells if cell != "\N{EN DASH}"]

    assert (roles := column("Role", 2, "ascending")) == sorted(roles)
    assert (roles := column("Role", 2, "descending")) == sorted(roles, reverse=True)
    # Members without slots come last, in both directions.
    downwards, upwards = column("Tasks", 5, "descending"), column("Tasks", 5, "ascending")
    assert busy(downwards) == sorted(busy(downwards), reverse=True)
    assert busy(upwards) == sorted(busy(upwards))
    assert {*downwards[-5:], *upwards[-5:]} == {"\N{EN DASH}"}
    code = visit.shown("fleet-code")
    code.get_by_role("button", name="Processes").click()
    cells = [int(cell) for cell in code.locator("tbody tr td:nth-child(2)").all_inner_texts()]
    assert cells == sorted(cells, reverse=True)
    assert visit.complaints == []


@pytest.mark.parametrize("visit", [{}, {"user": "watcher"}], indirect=True, ids=["viewer", "watcher"])
def test_a_workers_running_tasks_are_listed_with_links_to_their_pages(
    visit: Visit, store: redis.Redis, stories: dict[str, str], request: pytest.FixtureRequest
) -> None:
    now = Registry(store).now()
    assert stories
    sample_fleet.report(store, [*airflow_members(now=now), a_member(2, now=now, active=2, host="10.0.1.9")])
    visit.open()
    button = visit.shown("fleet-members").get_by_role("button", name="Tasks of")
    button.focus()
    visit.page.keyboard.press("Enter")
    tasks = visit.shown("fleet-tasks")
    expect(tasks.get_by_role("link", name="report.first")).to_be_visible()
    if "watcher" in request.node.callspec.id:
        expect(tasks).to_contain_text("1 task of DAGs that you may not see")
        expect(tasks.get_by_role("link")).to_have_count(1)
    else:
        expect(tasks.get_by_role("link", name="secret.second")).to_be_visible()
    assert serious_faults(visit.page, "[data-testid=fleet-members]") == []
    take_picture(visit, f"tasks-{request.node.callspec.id}.png")
    tasks.get_by_role("link", name="report.first").click()
    visit.page.wait_for_url("**/dags/report/runs/manual__*/tasks/first")
    expect(visit.page.get_by_role("link", name="Why")).to_be_visible()


def test_every_control_can_be_reached_and_used_with_the_keyboard(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    pool = visit.shown("fleet-pool-worker")
    chart = pool.get_by_role("img", name="Pool worker since")
    chart.focus()
    visit.page.keyboard.press("ArrowLeft")
    expect(pool.get_by_text("at ", exact=False).filter(has_text=":").first).to_be_visible()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    expect(pool.locator("ol > li")).to_have_count(20)
    expect(pool.get_by_role("button", name="Show fewer")).to_be_focused()
    wanted = visit.page.get_by_label("Filter the members")
    for _ in range(60):  # the tables of costs have a button a column
        if wanted.evaluate("input => input === document.activeElement"):
            break
        visit.page.keyboard.press("Tab")
    visit.page.keyboard.type("1.3.2")
    expect(visit.shown("fleet-members").locator("tbody tr")).to_have_count(2)
    assert visit.complaints == []


@pytest.mark.parametrize("visit", [{"user": "nobody"}], indirect=True, ids=["nobody"])
def test_a_user_without_permission_gets_neither_page_nor_data(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    expect(visit.page.get_by_text("Page Not Found")).to_be_visible()
    assert "1.3.2" not in visit.page.content()


@pytest.mark.parametrize(("status", "says"), [(401, "You are signed out"), (403, "You may not see the fleet")])
def test_a_refused_user_reads_why(visit: Visit, status: int, says: str) -> None:
    visit.page.route("**/fleet/api/*", lambda route: route.fulfill(status=status, body="{}"))
    visit.open()
    expect(visit.shown("fleet-error")).to_contain_text(says)
    expect(visit.shown("fleet-verdict")).to_have_count(0)


@pytest.mark.parametrize("visit", [{"user": ""}], indirect=True, ids=["signed-out"])
def test_a_user_who_is_not_signed_in_is_asked_to_sign_in(visit: Visit, store: redis.Redis) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    visit.page.wait_for_url("**/auth/login**")
    assert "1.3.2" not in visit.page.content()


@pytest.mark.parametrize("answer", ["no JSON", '{"code": {"status": "out_of_sync"}}'])
def test_a_banner_that_fails_leaves_home_as_it_is(visit: Visit, answer: str) -> None:
    visit.page.route("**/fleet/api/code", lambda route: route.fulfill(body=answer, content_type="application/json"))
    with visit.page.expect_response("**/fleet/api/code"):
        visit.open("/")
    expect(visit.page.get_by_role("heading", name="Welcome")).to_be_visible()
    expect(visit.page.get_by_text("Pool Slots")).to_be_visible()
    expect(visit.shown("fleet-banner")).to_have_count(0)


def test_the_page_without_the_broker_says_so_and_keeps_its_last_reading(
    visit: Visit, store: redis.Redis, broker: Redis
) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    expect(visit.shown("fleet-verdict")).to_be_visible(timeout=SHOWN_WITHIN_MS)
    broker.stop()
    try:
        expect(visit.shown("fleet-error")).to_contain_text("the broker does not answer")
        expect(visit.shown("fleet-freshness")).to_contain_text("Not live, as of")
        expect(visit.shown("fleet-members").locator("tbody tr")).to_have_count(21)
    finally:
        broker.start()
    expect(visit.shown("fleet-freshness")).to_contain_text("Live")


@pytest.mark.parametrize(
    ("visit", "name"),
    [({}, "fleet.png"), ({"color_scheme": "dark"}, "fleet-dark.png")],
    indirect=["visit"],
    ids=["light", "dark"],
)
def test_the_documentations_picture(visit: Visit, store: redis.Redis, name: str) -> None:
    sample_fleet.a_fleet(store)
    visit.open()
    expect(visit.shown("fleet-pool-worker").locator("svg path")).to_have_count(5)
    take_picture(visit, name, until="fleet-pool-worker")
    assert (PICTURES / name).stat().st_size > 0


def of_memory(store: redis.Redis, stories: dict[str, str]) -> None:
    """Let the task `first` of the run `died` have been ended for want of memory."""
    now = Registry(store).now()
    sample_fleet.report(store, airflow_members(now=now))
    end = End(
        instance=stories["report.died.first"],
        try_number=1,
        t=now,
        how=MEMORY,
        worker=a_member(1, now=now).id,
        held=1_480_000_000,
        limit=1_600_000_000,
    )
    Registry(store).record_end("worker", end)


def test_why_a_task_died_is_one_click_away(visit: Visit, store: redis.Redis, stories: dict[str, str]) -> None:
    of_memory(store, stories)
    visit.open("/dags/report/runs/died/tasks/first")
    visit.page.get_by_role("link", name="Why").click()
    expect(visit.shown("why-headline")).to_contain_text("Why it died")
    expect(visit.shown("why-headline")).to_contain_text("ran out of memory. It held 1,411 MiB")
    expect(visit.shown("why-page").get_by_text("Let the task handle less at once")).to_be_visible()
    expect(visit.shown("why-page").get_by_text("Try 1 began on worker")).to_be_visible()
    assert visit.hosts - {None} == {urlsplit(visit.url).hostname}


@pytest.mark.parametrize("visit", LOOKS, indirect=True)
def test_the_tab_why_is_accessible(
    visit: Visit, store: redis.Redis, stories: dict[str, str], request: pytest.FixtureRequest
) -> None:
    of_memory(store, stories)
    visit.open("/dags/report/runs/died/tasks/first/plugin/why")
    expect(visit.shown("why-headline")).to_be_visible()
    assert serious_faults(visit.page, "[data-testid=why-page]") == []
    assert visit.shown("why-page").evaluate("part => part.scrollWidth <= part.clientWidth")
    PICTURES.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=PICTURES / f"why-{request.node.callspec.id}.png", animations="disabled")


def test_markup_in_a_story_stays_text(visit: Visit, store: redis.Redis, stories: dict[str, str]) -> None:
    now = Registry(store).now()
    assert stories
    texts: dict[str, list[str]] = {name: [] for name in ("drain", "recall", "unreadable", "problems")}
    Registry(store).record_decision("worker", {"t": now, "reason": HOSTILE, "desired": 1, **texts})
    visit.open("/dags/report/runs/died/tasks/third/plugin/why")
    expect(visit.shown("why-page").get_by_text(HOSTILE)).to_be_visible()
    assert visit.page.locator("img[src='x']").count() == 0
    assert visit.page.title() != "injected"


@pytest.mark.parametrize(
    ("visit", "name"),
    [({}, "why.png"), ({"color_scheme": "dark"}, "why-dark.png")],
    indirect=["visit"],
    ids=["light", "dark"],
)
def test_the_documentations_picture_of_why(
    visit: Visit, store: redis.Redis, stories: dict[str, str], name: str
) -> None:
    of_memory(store, stories)
    visit.open("/dags/report/runs/died/tasks/first/plugin/why")
    expect(visit.shown("why-headline")).to_be_visible()
    PICTURES.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=PICTURES / name, animations="disabled")
    assert (PICTURES / name).stat().st_size > 0


def take_picture(visit: Visit, name: str, *, until: str = "fleet-page") -> None:
    """Take a picture of the page from its top to the end of one of its parts, as on a high screen."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = visit.page
    bottom = visit.shown(until).evaluate("part => Math.ceil(part.getBoundingClientRect().bottom)")
    width = page.viewport_size["width"] if page.viewport_size else DESK["width"]
    page.set_viewport_size({"width": width, "height": bottom + 24})
    page.screenshot(path=PICTURES / name, animations="disabled")
