-- Reviews at more than one point, decisions with typed causes, what a new try changes, and the studio's nights.

ALTER TABLE memorial.orders ADD COLUMN stage text NOT NULL DEFAULT '';          -- the task the order stopped in
ALTER TABLE memorial.orders ADD COLUMN revisions jsonb NOT NULL DEFAULT '{}';   -- step -> how often it got a new seed

-- What was judged is no longer always a film: a script, a voice sample, a still.
ALTER TABLE memorial.review RENAME COLUMN film_sha256 TO digest;
ALTER TABLE memorial.review ADD COLUMN causes text[] NOT NULL DEFAULT '{}';

-- One night (or one batch started by hand). Its id is the night's, so that a backfilled night is the same night.
CREATE TABLE memorial.batch (
    batch_id    text PRIMARY KEY CHECK (batch_id ~ '^[A-Za-z0-9_.:+-]{3,128}$'),
    dry_run     boolean NOT NULL DEFAULT false,
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at   timestamptz                         -- from here on the outcomes below stand
);

CREATE TABLE memorial.batch_order (
    batch_id     text NOT NULL REFERENCES memorial.batch,
    order_id     text NOT NULL REFERENCES memorial.orders,
    position     integer NOT NULL,                  -- priority, promised date, age
    ready        boolean NOT NULL,                  -- what the look at the whole batch said
    started_at   timestamptz,
    run_id       text,
    outcome      text NOT NULL DEFAULT '',          -- the order's state when the batch was closed, or not_started
    stage        text NOT NULL DEFAULT '',
    reason_code  text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    next_action  text NOT NULL DEFAULT '',
    PRIMARY KEY (batch_id, order_id)
);
CREATE INDEX batch_order_by_order ON memorial.batch_order (order_id);
