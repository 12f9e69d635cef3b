//! The chart's template of the CRD.

/// The CRD's manifest as a Helm template: behind `crds.enabled`, and kept at uninstall if `crds.keep` says so.
pub fn crd_template(manifest: &str) -> String {
    let manifest = manifest.lines().filter(|line| !line.starts_with('#'));
    let mut text = String::from(
        "{{- /* Generated from crds/manifests by `make generate`. Do not edit. */ -}}\n{{- if .Values.crds.enabled }}\n",
    );
    for line in manifest {
        // What looks like a template in a field's description would be carried out.
        text.push_str(&line.replace("{{", "{{ \"{{\" }}"));
        text.push('\n');
        if line == "  name: consumerpipelines.penstock.dev" {
            text.push_str(METADATA);
        }
    }
    text.push_str("{{- end }}\n");
    text
}

const METADATA: &str = r#"  labels: {{- include "penstock.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_a_description_are_not_a_template() {
        assert!(crd_template("a: '{{ x }}'\n").contains("a: '{{ \"{{\" }} x }}'"));
    }
}
