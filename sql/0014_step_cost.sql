-- What a step ran on and what it cost, at the prices of its day: changing a price changes no past order.
ALTER TABLE memorial.step_run
    ADD COLUMN gpu_driver text NOT NULL DEFAULT '',
    ADD COLUMN cost numeric(12, 4),                     -- null: no price was set for what it used
    ADD COLUMN currency text NOT NULL DEFAULT '';
