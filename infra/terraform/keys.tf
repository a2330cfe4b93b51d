# One key a purpose, so that a right to one is not a right to another. Each rotates every year; old ciphertext stays
# readable. Who may use a key is said in identity.tf; the key policy only hands that decision to IAM of this account.
locals {
  keys = {
    storage     = "Objects of the vault, deliveries and logs at rest (they are encrypted once more before)"
    subjects    = "Wraps one data key a subject; erasing a subject destroys the wrapped key, never this one"
    checkpoints = "Audit checkpoints: signatures and hashes, no personal data"
    database    = "The registry and Airflow's database"
    images      = "Container images"
  }
}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "AccountDecidesThroughIam"
    actions   = ["kms:*"] # in a key policy "*" means this key alone
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:root"]
    }
  }
}

resource "aws_kms_key" "this" {
  for_each                = local.keys
  description             = "${var.name}: ${each.value}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  for_each      = local.keys
  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
