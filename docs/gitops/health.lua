-- Argo CD's health of Sancho's kinds: Certificate, CertificateShard, Issuer, ClusterIssuer.
local health = { status = "Progressing", message = "Sancho has not looked at it yet" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local said = {}
for _, condition in ipairs(status.conditions or {}) do
  said[condition.type] = condition
end
local function is_true(kind)
  return said[kind] ~= nil and said[kind].status == "True"
end
if is_true("Stalled") then
  health.status = "Degraded"
  health.message = said.Ready ~= nil and said.Ready.message or said.Stalled.message
elseif is_true("Ready") then
  -- Names that cannot be validated are left out, and the others are served.
  health.status = is_true("Degraded") and "Degraded" or "Healthy"
  health.message = is_true("Degraded") and said.Degraded.message or said.Ready.message
elseif obj.metadata.annotations ~= nil and obj.metadata.annotations["sancho.dev/paused"] == "true" then
  health.status = "Suspended"
  health.message = "paused by the annotation sancho.dev/paused"
elseif said.Ready ~= nil then
  health.message = said.Ready.message
end
return health
