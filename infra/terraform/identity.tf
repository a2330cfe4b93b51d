# Who may do what. Nobody here may administer: that stays with whoever runs Terraform.
#   control   Airflow's pods: vault, deliveries, subjects' keys, writing checkpoints, and becoming the two below
#   data      one step's pod: the objects of the one order its session is tagged with, nothing else
#   delivery  signs the family's links: reading deliveries, nothing else
#   auditor   reads checkpoints, writes nothing
locals {
  issuer = var.cluster_oidc_issuer
  arn    = { for name, bucket in aws_s3_bucket.this : name => bucket.arn }
  # `orders/<id>/` is where the vault keeps an order; the id comes from the session's tag.
  order_prefix = "orders/$${aws:PrincipalTag/order}"
  s3_service   = "s3.${data.aws_region.here.name}.amazonaws.com"
}

# --- control plane ----------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "control_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.cluster_oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.control_plane_service_account}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "control" {
  statement {
    sid       = "VaultListing"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"]
    resources = [local.arn["vault"]]
  }
  statement {
    sid = "VaultObjects" # erasing removes every version and every unfinished upload
    actions = [
      "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload",
    ]
    resources = ["${local.arn["vault"]}/*"]
  }
  statement {
    sid = "DeliveryListing" # and a look whether versions are kept and nothing is locked
    actions = [
      "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning",
      "s3:GetBucketObjectLockConfiguration",
    ]
    resources = [local.arn["deliveries"]]
  }
  statement {
    sid = "Deliveries" # a withdrawal takes every version away
    actions = [
      "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
      "s3:AbortMultipartUpload",
    ]
    resources = ["${local.arn["deliveries"]}/*"]
  }
  statement {
    sid       = "CheckpointListing"
    actions   = ["s3:ListBucketVersions"]
    resources = [local.arn["checkpoints"]]
  }
  statement {
    sid       = "CheckpointsOnceAndForAll" # no deleting, no shortening
    actions   = ["s3:PutObject", "s3:PutObjectRetention", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"]
    resources = ["${local.arn["checkpoints"]}/audit/*"]
  }
  statement {
    sid       = "TaskLogListing"
    actions   = ["s3:ListBucket"]
    resources = [local.arn["logs"]]
  }
  statement {
    sid       = "TaskLogs"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.arn["logs"]}/airflow/*"]
  }
  statement {
    sid       = "BucketKeys"
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = [aws_kms_key.this["storage"].arn, aws_kms_key.this["checkpoints"].arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.s3_service]
    }
  }
  statement {
    sid       = "SubjectKeys" # only with the subject named, so that every use can be told apart in the key's own log
    actions   = ["kms:GenerateDataKeyWithoutPlaintext", "kms:Decrypt"]
    resources = [aws_kms_key.this["subjects"].arn]
    condition {
      test     = "Null"
      variable = "kms:EncryptionContext:subject"
      values   = ["false"]
    }
  }
  statement {
    sid       = "BecomeStepOfOneOrder"
    actions   = ["sts:AssumeRole", "sts:TagSession"]
    resources = [aws_iam_role.data.arn]
  }
  statement {
    sid       = "BecomeDelivery"
    actions   = ["sts:AssumeRole"]
    resources = [aws_iam_role.delivery.arn]
  }
}

resource "aws_iam_role" "control" {
  name                 = "${var.name}-control"
  description          = "Airflow of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.control_trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "control" {
  name   = "control"
  role   = aws_iam_role.control.id
  policy = data.aws_iam_policy_document.control.json
}

# --- data plane -------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "data_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.control.arn]
    }
    # No session without the tag, no other tag, and an id that is one: a wildcard or a slash would open other orders.
    condition {
      test     = "StringLike"
      variable = "aws:RequestTag/order"
      values   = ["?*"]
    }
    condition {
      test     = "StringNotLike"
      variable = "aws:RequestTag/order"
      values   = ["*/*", "*$${*}*", "*$${?}*", "*.*"]
    }
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "aws:TagKeys"
      values   = ["order"]
    }
  }
}

data "aws_iam_policy_document" "data" {
  statement {
    sid       = "ListOwnOrder"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [local.arn["vault"]]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.order_prefix}/*"]
    }
  }
  statement {
    sid       = "OwnOrder"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.arn["vault"]}/${local.order_prefix}/*"]
  }
  statement {
    sid       = "OwnCheckpoints" # the only things a step may take away again
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${local.arn["vault"]}/${local.order_prefix}/*/checkpoint/*"]
  }
  statement {
    sid       = "BucketKey"
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = [aws_kms_key.this["storage"].arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.s3_service]
    }
  }
}

# A session made by another role's session ends after an hour at the latest (role chaining), hence
# MEMORIAL_STEP_ROLE_SECONDS in the outputs: a step that needs longer is given the next one while it works.
resource "aws_iam_role" "data" {
  name                 = "${var.name}-data"
  description          = "One step of one order of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.data_trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "data" {
  name   = "data"
  role   = aws_iam_role.data.id
  policy = data.aws_iam_policy_document.data.json
}

# --- delivery ---------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "delivery_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.control.arn]
    }
  }
}

data "aws_iam_policy_document" "delivery" {
  statement {
    sid       = "ReadDeliveries"
    actions   = ["s3:GetObject"]
    resources = ["${local.arn["deliveries"]}/*"]
  }
  statement {
    sid       = "BucketKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this["storage"].arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.s3_service]
    }
  }
}

resource "aws_iam_role" "delivery" {
  name                 = "${var.name}-delivery"
  description          = "Signs links to deliveries of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.delivery_trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "delivery" {
  name   = "delivery"
  role   = aws_iam_role.delivery.id
  policy = data.aws_iam_policy_document.delivery.json
}

# --- auditor ----------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "auditor_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = var.auditor_principals
    }
  }
}

data "aws_iam_policy_document" "auditor" {
  statement {
    sid       = "CheckpointListing"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketObjectLockConfiguration"]
    resources = [local.arn["checkpoints"]]
  }
  statement {
    sid       = "Checkpoints"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"]
    resources = ["${local.arn["checkpoints"]}/*"]
  }
  statement {
    sid       = "CheckpointKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this["checkpoints"].arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.s3_service]
    }
  }
}

resource "aws_iam_role" "auditor" {
  count                = length(var.auditor_principals) > 0 ? 1 : 0
  name                 = "${var.name}-auditor"
  description          = "Reads audit checkpoints of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.auditor_trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "auditor" {
  count  = length(aws_iam_role.auditor)
  name   = "auditor"
  role   = aws_iam_role.auditor[0].id
  policy = data.aws_iam_policy_document.auditor.json
}
