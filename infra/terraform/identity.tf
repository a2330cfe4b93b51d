# Who may do what. Nobody here may administer: that stays with whoever runs Terraform.
#   control   Airflow's pods: vault, deliveries, subjects' keys, writing checkpoints, and becoming `data`
#   gate      the link gate's pods: reading deliveries, and becoming `delivery`
#   data      one step's pod: the objects of the one order its session is tagged with, nothing else
#   delivery  signs the family's links: reading deliveries, nothing else
#   auditor   reads checkpoints, writes nothing
locals {
  issuer = var.cluster_oidc_issuer
  arn    = { for name, bucket in aws_s3_bucket.this : name => bucket.arn }
  # `orders/<id>/` is where the vault keeps an order; the id comes from the session's tag.
  order_prefix = "orders/$${aws:PrincipalTag/order}"
  s3_service   = "s3.${data.aws_region.here.name}.amazonaws.com"

  # Roles of pods in the cluster, by the service account that may take them.
  services = {
    control = { account = var.control_plane_service_account, description = "Airflow of ${var.name}" }
    gate    = { account = var.gate_service_account, description = "The link gate of ${var.name}" }
  }
  # Roles that other roles take, by who may.
  assumed = merge({
    data     = { trust = data.aws_iam_policy_document.data_trust.json, description = "One step of one order of ${var.name}" }
    delivery = { trust = data.aws_iam_policy_document.delivery_trust.json, description = "Signs links to deliveries of ${var.name}" }
    }, length(var.auditor_principals) == 0 ? {} : {
    auditor = { trust = data.aws_iam_policy_document.auditor_trust.json, description = "Reads audit checkpoints of ${var.name}" }
  })
  policies = merge({
    control  = data.aws_iam_policy_document.control.json
    gate     = data.aws_iam_policy_document.gate.json
    data     = data.aws_iam_policy_document.data.json
    delivery = data.aws_iam_policy_document.delivery.json
  }, length(var.auditor_principals) == 0 ? {} : { auditor = data.aws_iam_policy_document.auditor.json })
}

data "aws_iam_policy_document" "service_trust" {
  for_each = local.services
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.cluster_oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${each.value.account}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "service" {
  for_each             = local.services
  name                 = "${var.name}-${each.key}"
  description          = each.value.description
  assume_role_policy   = data.aws_iam_policy_document.service_trust[each.key].json
  max_session_duration = 3600
}

# A session made by another role's session ends after an hour at the latest (role chaining), hence
# MEMORIAL_STEP_ROLE_SECONDS in the outputs: a step that needs longer is given the next one while it works.
resource "aws_iam_role" "assumed" {
  for_each             = local.assumed
  name                 = "${var.name}-${each.key}"
  description          = each.value.description
  assume_role_policy   = each.value.trust
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies
  name     = each.key
  role     = merge(aws_iam_role.service, aws_iam_role.assumed)[each.key].id
  policy   = each.value
}

# --- control plane ----------------------------------------------------------------------------------------------

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
    resources = [aws_iam_role.assumed["data"].arn]
  }
}

# --- data plane -------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "data_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.service["control"].arn]
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

# --- link gate --------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "gate" {
  source_policy_documents = [data.aws_iam_policy_document.delivery.json]
  statement {
    sid       = "BecomeDelivery" # each address is signed by a session narrowed to one object
    actions   = ["sts:AssumeRole"]
    resources = [aws_iam_role.assumed["delivery"].arn]
  }
}

# --- delivery ---------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "delivery_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.service["gate"].arn]
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

# Where these roles stood before they were made from a table: an update moves them, it makes none anew.
moved {
  from = aws_iam_role.control
  to   = aws_iam_role.service["control"]
}
moved {
  from = aws_iam_role.data
  to   = aws_iam_role.assumed["data"]
}
moved {
  from = aws_iam_role.delivery
  to   = aws_iam_role.assumed["delivery"]
}
moved {
  from = aws_iam_role.auditor[0]
  to   = aws_iam_role.assumed["auditor"]
}
moved {
  from = aws_iam_role_policy.control
  to   = aws_iam_role_policy.this["control"]
}
moved {
  from = aws_iam_role_policy.data
  to   = aws_iam_role_policy.this["data"]
}
moved {
  from = aws_iam_role_policy.delivery
  to   = aws_iam_role_policy.this["delivery"]
}
moved {
  from = aws_iam_role_policy.auditor[0]
  to   = aws_iam_role_policy.this["auditor"]
}
