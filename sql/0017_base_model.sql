-- Base models: weights learned from a corpus, not from an order. Where they come from and what their licence allows.
CREATE TABLE memorial.base_model (
    model_id        text PRIMARY KEY CHECK (model_id ~ '^[a-z0-9][a-z0-9.-]{2,63}$'),
    kind            text NOT NULL CHECK (kind IN ('voice', 'face')),
    architecture    text NOT NULL,
    sha256          memorial.sha256 NOT NULL,
    size            bigint NOT NULL CHECK (size > 0),
    parameters      bigint NOT NULL,
    licence         text NOT NULL,
    corpus          text NOT NULL,
    corpus_licence  text NOT NULL,
    source          text NOT NULL,
    imported_by     text NOT NULL,
    imported_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE UPDATE ON memorial.base_model FROM memorial_app;
