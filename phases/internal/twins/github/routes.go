package github

import "net/http"

// apiRoutes are the operations of api.github.com.
func (s *Server) apiRoutes() http.Handler {
	const repo = "/repos/{owner}/{repo}"
	mux := s.router(hostAPI)
	// Not JSON alone: with the right Accept header the bytes, or the way there.
	mux.add("GET "+repo+"/releases/assets/{id}", s.getAsset)
	for _, rt := range []route{
		{"GET /user", "/users/users#get-the-authenticated-user", "", None, (*call).getUser},
		{"GET /rate_limit", "/rate-limit/rate-limit", "", None, (*call).getRateLimit},
		{"GET " + repo, "/repos/repos#get-a-repository", "", None, (*call).getRepository},

		{"GET " + repo + "/releases", "/releases/releases#list-releases", Contents, Read, (*call).listReleases},
		{"POST " + repo + "/releases", "/releases/releases#create-a-release", Contents, Write, (*call).createRelease},
		{"PATCH " + repo + "/releases/{id}", "/releases/releases#update-a-release", Contents, Write, (*call).editRelease},
		{"DELETE " + repo + "/releases/{id}", "/releases/releases#delete-a-release", Contents, Write, (*call).deleteRelease},
		{"GET " + repo + "/releases/tags/{tag...}", "/releases/releases#get-a-release-by-tag-name", Contents, Read, (*call).getReleaseByTag},
		{"GET " + repo + "/releases/latest", "/releases/releases#get-the-latest-release", Contents, Read, (*call).getLatest},
		{"POST " + repo + "/releases/generate-notes", "/releases/releases#generate-release-notes-content-for-a-release", Contents, Write, (*call).generateNotes},
		{"GET " + repo + "/releases/{id}", "/releases/releases#get-a-release", Contents, Read, (*call).getRelease},
		{"GET " + repo + "/releases/{id}/assets", "/releases/assets#list-release-assets", Contents, Read, (*call).listAssets},
		{"PATCH " + repo + "/releases/assets/{id}", "/releases/assets#update-a-release-asset", Contents, Write, (*call).editAsset},
		{"DELETE " + repo + "/releases/assets/{id}", "/releases/assets#delete-a-release-asset", Contents, Write, (*call).deleteAsset},

		{"GET " + repo + "/git/ref/{ref...}", "/git/refs#get-a-reference", Contents, Read, (*call).getRef},
		{"GET " + repo + "/git/refs", "/git/refs#list-matching-references", Contents, Read, (*call).listRefs},
		{"GET " + repo + "/git/refs/{ref...}", "/git/refs#list-matching-references", Contents, Read, (*call).listRefs},
		{"GET " + repo + "/git/matching-refs/{ref...}", "/git/refs#list-matching-references", Contents, Read, (*call).listRefs},
		{"POST " + repo + "/git/refs", "/git/refs#create-a-reference", Contents, Write, (*call).createRef},
		{"PATCH " + repo + "/git/refs/{ref...}", "/git/refs#update-a-reference", Contents, Write, (*call).updateRef},
		{"DELETE " + repo + "/git/refs/{ref...}", "/git/refs#delete-a-reference", Contents, Write, (*call).deleteRef},
		{"POST " + repo + "/git/tags", "/git/tags#create-a-tag-object", Contents, Write, (*call).createTag},
		{"GET " + repo + "/git/tags/{sha}", "/git/tags#get-a-tag", Contents, Read, (*call).getTag},
		{"GET " + repo + "/git/commits/{sha}", "/git/commits#get-a-commit-object", Contents, Read, (*call).getCommit},
		{"GET " + repo + "/compare/{basehead...}", "/commits/commits#compare-two-commits", Contents, Read, (*call).compare},
		{"GET " + repo + "/tarball/{ref...}", "/repos/contents#download-a-repository-archive-tar", Contents, Read, (*call).tarball},

		{"GET " + repo + "/immutable-releases", "/repos/repos#check-if-immutable-releases-are-enabled-for-a-repository", "", None, (*call).getImmutable},
		{"PUT " + repo + "/immutable-releases", "/repos/repos#enable-immutable-releases", Administration, Write, (*call).putImmutable},
		{"DELETE " + repo + "/immutable-releases", "/repos/repos#disable-immutable-releases", Administration, Write, (*call).deleteImmutable},

		{"GET " + repo + "/labels", "/reference/issues#list-labels-for-a-repository", Issues, Read, (*call).listLabels},
		{"POST " + repo + "/labels", "/reference/issues#create-a-label", Issues, Write, (*call).createLabel},

		{"POST " + repo + "/actions/workflows/{workflow}/dispatches", "/actions/workflows#create-a-workflow-dispatch-event", Actions, Write, (*call).dispatch},
		{"GET " + repo + "/actions/runs", "/actions/workflow-runs#list-workflow-runs-for-a-repository", Actions, Read, (*call).listRuns},
		{"GET " + repo + "/actions/runs/{id}", "/actions/workflow-runs#get-a-workflow-run", Actions, Read, (*call).getRun},
		{"GET " + repo + "/actions/runs/{id}/pending_deployments", "/actions/workflow-runs#get-pending-deployments-for-a-workflow-run", Actions, Read, (*call).listPending},
		{"POST " + repo + "/actions/runs/{id}/pending_deployments", "/actions/workflow-runs#review-pending-deployments-for-a-workflow-run", Deployments, Write, (*call).reviewPending},

		{"POST " + repo + "/attestations", "/repos/attestations#create-an-attestation", Attestations, Write, (*call).createAttestation},
		{"GET " + repo + "/attestations/{digest}", "/repos/attestations#list-attestations", Contents, Read, (*call).listAttestations},
	} {
		mux.add(rt.pattern, s.operation(hostAPI, rt))
	}
	return mux
}

// uploadRoutes are the operations of uploads.github.com.
func (s *Server) uploadRoutes() http.Handler {
	mux := s.router(hostUploads)
	mux.add("POST /repos/{owner}/{repo}/releases/{id}/assets", s.upload)
	return mux
}

// webRoutes are the parts of github.com and codeload.github.com that matter.
func (s *Server) webRoutes() http.Handler {
	mux := s.router(hostWeb)
	mux.add("GET /{owner}/{repo}/releases/download/{path...}", s.browserDownload)
	mux.add("GET /{owner}/{repo}/legacy.tar.gz/{ref...}", s.codeload)
	return mux
}

// downloadRoutes are the signed URLs that downloads are redirected to.
func (s *Server) downloadRoutes() http.Handler {
	mux := s.router(hostDownloads)
	mux.add("GET /github-production-release-asset/{repository}/{id}", s.signedDownload)
	return mux
}

func (s *Server) router(h host) *router {
	return &router{otherwise: s.operation(h, route{do: (*call).notFound})}
}
