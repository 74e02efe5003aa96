# The modules of pages/ that a server serves, each list in the order in which they need each other.
# Those of LIVE_APP show the list of jobs; LIVE_VIEWS and LIVE_PICTURE are loaded when a view needs them.
set(LIVE_BASE format.js dom.js view_state.js live/api.js live/place.js live/state_words.js live/glyph.js
    live/parts.js)
set(LIVE_APP live/feed.js live/strip.js live/job_row.js live/jobs_view.js live/login_view.js live/app.js)
set(LIVE_VIEWS live/progress.js live/over_time.js live/where_time_goes.js live/happened.js
    live/job_workers.js live/dialogs.js live/job_view.js live/workers_view.js live/editor.js
    live/plan_panel.js live/submit_view.js live/compare_view.js)
set(LIVE_PICTURE data.js scales.js words.js grid.js heat_map.js legend.js bars.js table.js read_out.js
    picture.js origins.js report_view.js comparison_table.js comparison_view.js live/live_picture.js)
