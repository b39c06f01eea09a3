data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_root = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"
  # Replicas of a multi-Region key have the same id in other regions.
  usable_key_arn = var.multi_region ? replace(aws_kms_key.master.arn, ":${data.aws_region.current.name}:", ":*:") : aws_kms_key.master.arn
  tags           = merge({ Application = "BeTrace", Environment = var.environment, ManagedBy = "Terraform" }, var.tags)
}

resource "aws_kms_key" "master" {
  description             = "BeTrace ${var.environment}: wraps data keys, signing keys and pseudonym keys"
  key_usage               = "ENCRYPT_DECRYPT"
  multi_region            = var.multi_region
  enable_key_rotation     = true
  rotation_period_in_days = var.rotation_period_days
  deletion_window_in_days = var.deletion_window_days
  policy                  = data.aws_iam_policy_document.key.json
  tags                    = local.tags

  lifecycle {
    # Everything ever sealed becomes unreadable with this key.
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "master" {
  name          = "alias/betrace-${var.environment}"
  target_key_id = aws_kms_key.master.key_id
}

# The key policy leaves use to IAM (iam-policy.json) and grants none itself: a second grant without conditions would
# make the conditions there mean nothing. Its denials bind everybody, whatever IAM says.
data "aws_iam_policy_document" "key" {
  statement {
    sid       = "LetIamPoliciesDecide"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }
  }

  # One statement each: conditions of one statement must all hold, and this is to deny what lacks either.
  statement {
    sid       = "NeverWithoutTenant"
    effect    = "Deny"
    actions   = ["kms:GenerateDataKey*", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "kms:EncryptionContext:tenantId"
      values   = ["true"]
    }
  }

  statement {
    sid       = "NeverWithoutPurpose"
    effect    = "Deny"
    actions   = ["kms:GenerateDataKey*", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "kms:EncryptionContext:purpose"
      values   = ["true"]
    }
  }

  dynamic "statement" {
    for_each = length(var.administrator_arns) > 0 ? [1] : []

    content {
      sid    = "OnlyAdministratorsManage"
      effect = "Deny"
      actions = [
        "kms:DisableKey",
        "kms:ScheduleKeyDeletion",
        "kms:PutKeyPolicy",
        "kms:DisableKeyRotation",
        "kms:DeleteImportedKeyMaterial",
      ]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = ["*"]
      }

      condition {
        test     = "ArnNotLike"
        variable = "aws:PrincipalArn"
        values   = concat(var.administrator_arns, [local.account_root])
      }
    }
  }
}

data "aws_iam_policy_document" "use" {
  source_policy_documents = [templatefile("${path.module}/iam-policy.json", { key_arn = local.usable_key_arn })]

  # A denial, since a second permission would restrict nothing.
  dynamic "statement" {
    for_each = length(var.tenant_ids) > 0 ? [1] : []

    content {
      sid       = "NoOtherTenants"
      effect    = "Deny"
      actions   = ["kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt"]
      resources = [local.usable_key_arn]

      condition {
        test     = "StringNotEquals"
        variable = "kms:EncryptionContext:tenantId"
        values   = concat(var.tenant_ids, [var.default_tenant])
      }
    }
  }

  dynamic "statement" {
    for_each = aws_kms_key.checkpoint

    content {
      sid       = "SignCheckpoints"
      actions   = ["kms:Sign", "kms:GetPublicKey"]
      resources = [statement.value.arn]
    }
  }
}

resource "aws_iam_policy" "use" {
  name        = "betrace-${var.environment}-kms"
  description = "BeTrace Sidecar: data keys of one master key, only with tenant and purpose in the context"
  policy      = data.aws_iam_policy_document.use.json
  tags        = local.tags
}

resource "aws_iam_role_policy_attachment" "use" {
  count = var.role_name == "" ? 0 : 1

  role       = var.role_name
  policy_arn = aws_iam_policy.use.arn
}

resource "aws_kms_key" "checkpoint" {
  count = var.checkpoint_signing_key == "none" ? 0 : 1

  description              = "BeTrace ${var.environment}: signs checkpoints"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = var.checkpoint_signing_key
  deletion_window_in_days  = var.deletion_window_days
  tags                     = local.tags

  lifecycle {
    prevent_destroy = true
  }
}
